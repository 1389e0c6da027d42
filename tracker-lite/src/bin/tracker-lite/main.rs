//! `tracker-lite`: the tracker as a program.

mod args;
mod report;
mod signals;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;

use shoal_protocol::id::InfoHash;
use tracker_lite::{
    AllowList, AllowListError, Everybody, NoRandomness, Open, Server, Serves, Stop, Torrents,
    Tracker, bind_tcp, bind_udp,
};

use args::{Args, Asked, HELP, Tracks, Udp};
use report::{Form, Report};
use signals::{Signal, Signals};

/// The port that trackers have by custom.
const DEFAULT_PORT: u16 = 6969;
/// How a wrong command line ends, as by custom.
const EXIT_USAGE: u8 = 2;

/// Why the program ends. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{protocol} at {address}: {source}; {advice}")]
    Bind {
        protocol: &'static str,
        address: SocketAddr,
        source: io::Error,
        advice: &'static str,
    },
    #[error("{}: {source}; name a readable file with --allow, or track everything with --open", path.display())]
    ReadList { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    List {
        path: PathBuf,
        source: AllowListError,
    },
    #[error("a server ended: {0}; start it again, and report it if it ends again")]
    Server(io::Error),
    #[error("the system refuses what the program needs: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

fn main() -> ExitCode {
    let args = match Asked::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version) => {
            println!("tracker-lite {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(args)) => args,
        Err(error) => {
            eprintln!("tracker-lite: {error}; see tracker-lite --help");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            args.form.write(&Report::Error {
                message: failure.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let form = args.form;
    let mut list = None;
    let torrents: Arc<dyn Torrents> = match &args.tracks {
        Tracks::Listed(path) => {
            let read = Arc::new(AllowList::default());
            let torrents = load(&read, path)?.0;
            form.write(&Report::Loaded { torrents });
            list = Some((read.clone(), path.as_path()));
            read
        }
        Tracks::Anything => Arc::new(Open),
    };
    let config = args.config.clone();
    let tracker = Arc::new(Tracker::new(config, torrents, Arc::new(Everybody))?);
    // Before the first line says that it listens, so that a signal after it is heard.
    let signals = Signals::new()?;
    let servers = open_sockets(args, &tracker)?;
    serve(signals, servers, || {
        if let Some((list, path)) = &list {
            reload(form, &tracker, list, path);
        }
    })?;
    let metrics = tracker.metrics();
    form.write(&Report::Stopped {
        announces: metrics.http_announces.value() + metrics.udp_announces.value(),
        peers: tracker.peers(),
    });
    Ok(())
}

/// One server for HTTP and one for UDP, so that a flood of packets does not keep connections waiting.
fn open_sockets(args: &Args, tracker: &Arc<Tracker>) -> Result<Vec<Server>, Failure> {
    let mut http = Server::new(tracker.clone())?;
    let mut udp = Server::new(tracker.clone())?;
    let listening = |protocol, address| {
        args.form.write(&Report::Listening { protocol, address });
    };
    let mut opened = Vec::new();
    for address in http_addresses(args) {
        let listener = match bind_tcp(address) {
            Err(source) if passes_over(args, &source, address) => {
                let message = format!("no IPv6 here: {source}");
                args.form.write(&Report::Warning { message });
                continue;
            }
            bound => bound.map_err(|source| bind_failure("http", address, source))?,
        };
        let address = listener.local_addr()?;
        http.add_http(listener, Serves::Tracker)?;
        listening("http", address);
        opened.push(address);
    }
    for address in udp_addresses(args, &opened) {
        let socket = bind_udp(address).map_err(|source| bind_failure("udp", address, source))?;
        let address = socket.local_addr()?;
        udp.add_udp(socket)?;
        listening("udp", address);
    }
    if let Some(address) = args.metrics {
        let listener =
            bind_tcp(address).map_err(|source| bind_failure("metrics", address, source))?;
        let address = listener.local_addr()?;
        http.add_http(listener, Serves::Metrics)?;
        listening("metrics", address);
    }
    Ok(vec![http, udp])
}

/// Runs the servers until a signal or a failure.
fn serve(mut signals: Signals, servers: Vec<Server>, reload: impl Fn()) -> Result<(), Failure> {
    let (ended, endings) = mpsc::channel();
    let mut threads = Vec::new();
    for server in servers {
        let (ended, end_signals) = (ended.clone(), signals.closer());
        let stop = server.stop_handle();
        let thread = std::thread::Builder::new()
            .name("server".into())
            .spawn(move || {
                // The receiver is gone only when the program ends anyway.
                let _ = ended.send(server.run());
                end_signals();
            })?;
        threads.push((stop, thread));
    }
    while let Some(Signal::Reload) = signals.wait() {
        reload();
    }
    threads.iter().map(|(stop, _)| stop).for_each(Stop::stop);
    for (_, thread) in threads {
        let _ = thread.join();
    }
    drop(ended);
    let result: io::Result<()> = endings.iter().collect();
    result.map_err(Failure::Server)
}

/// A list that cannot be read leaves the old one in force.
fn reload(form: Form, tracker: &Tracker, list: &AllowList, path: &Path) {
    match load(list, path) {
        Ok((torrents, gone)) => {
            for infohash in gone {
                tracker.remove(&infohash);
            }
            form.write(&Report::Loaded { torrents });
        }
        Err(failure) => form.write(&Report::Warning {
            message: format!("{failure}; the old list stays in force"),
        }),
    }
}

fn load(list: &AllowList, path: &Path) -> Result<(usize, Vec<InfoHash>), Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::ReadList {
        path: path.to_owned(),
        source,
    })?;
    list.replace(&text).map_err(|source| Failure::List {
        path: path.to_owned(),
        source,
    })
}

fn http_addresses(args: &Args) -> Vec<SocketAddr> {
    if !args.listen.is_empty() {
        return args.listen.clone();
    }
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.map(|ip| SocketAddr::new(ip, DEFAULT_PORT)).to_vec()
}

fn udp_addresses(args: &Args, http: &[SocketAddr]) -> Vec<SocketAddr> {
    if args.udp.is_empty() {
        return http.to_vec();
    }
    args.udp
        .iter()
        .filter_map(|udp| match udp {
            Udp::Nowhere => None,
            Udp::At(address) => Some(*address),
        })
        .collect()
}

/// Whether a machine without IPv6 is served by the rest of the default addresses.
fn passes_over(args: &Args, error: &io::Error, address: SocketAddr) -> bool {
    args.listen.is_empty() && address.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse
}

fn bind_failure(protocol: &'static str, address: SocketAddr, source: io::Error) -> Failure {
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that has this port, or choose another with --listen, --udp or --metrics"
        }
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose another address",
    };
    Failure::Bind {
        protocol,
        address,
        source,
        advice,
    }
}
