//! The tables of README.md say what the program does.

use shoal_api::{EXIT_CODES, EXIT_OK};
use shoal_node::config::KEYS;

#[test]
fn exit_codes_are_those_of_the_program() {
    let readme = readme();
    let documented: Vec<u8> = rows(&readme, "| code | meaning |")
        .filter_map(|row| row.split('|').nth(1)?.trim().parse().ok())
        .collect();
    let codes: Vec<u8> = std::iter::once(EXIT_OK.0)
        .chain(EXIT_CODES.iter().map(|(exit, _, _)| *exit))
        .collect();
    assert_eq!(documented, codes);
}

#[test]
fn settings_are_those_of_the_program() {
    let readme = readme();
    let documented: Vec<&str> = rows(&readme, "| key | default | what it does |")
        .filter_map(|row| row.split('`').nth(1))
        .collect();
    let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(documented, keys);
}

/// Rows of the table with that head.
fn rows<'a>(readme: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    readme
        .lines()
        .skip_while(move |line| *line != head)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
}

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    std::fs::read_to_string(path).expect("README.md is there")
}
