//! Measures walking and hashing: `cargo run --release -p shoal-disk --example hash-speed -- [PATH]`.
//!
//! Without a path it makes 1 GiB of noise and 10,000 files of 4 KiB in a temporary folder first.

use shoal_disk::{HashOptions, hash_tree, walk};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        return measure(Path::new(&path));
    }
    let top = std::env::temp_dir().join(format!("hash-speed-{}", std::process::id()));
    let result = make(&top).and_then(|()| {
        measure(&top.join("large"))?;
        measure(&top.join("small"))
    });
    std::fs::remove_dir_all(&top)?;
    result
}

fn make(top: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(top.join("small"))?;
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut buffer = vec![0; 1 << 20];
    let mut large = BufWriter::new(std::fs::File::create(top.join("large"))?);
    for _ in 0..1024 {
        noise.fill(&mut buffer);
        large.write_all(&buffer)?;
    }
    for number in 0..10_000 {
        noise.fill(&mut buffer[..4096]);
        std::fs::write(top.join(format!("small/{number:05}")), &buffer[..4096])?;
    }
    Ok(())
}

fn measure(root: &Path) -> Result<(), Box<dyn Error>> {
    for _ in 0..4 {
        let started = Instant::now();
        let tree = walk(&[PathBuf::from(root)], None, None)?;
        let walked = started.elapsed();
        let started = Instant::now();
        let options = HashOptions::new(1 << 20);
        let hashed = hash_tree(
            &tree,
            &options,
            &mut std::io::sink(),
            &(),
            &AtomicBool::new(false),
        )?;
        let took = started.elapsed();
        println!(
            "{} files, {} MiB: walk {:.1} ms, hash {:.1} ms, {:.0} MB/s on {} threads",
            hashed.files.len(),
            hashed.total_bytes >> 20,
            walked.as_secs_f64() * 1e3,
            took.as_secs_f64() * 1e3,
            hashed.total_bytes as f64 / took.as_secs_f64() / 1e6,
            options.threads,
        );
    }
    println!("{}", peak_memory().unwrap_or_default());
    Ok(())
}

/// The line of peak memory, where there is a /proc.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .map(str::to_owned)
}
