//! `shoal get`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use shoal_node::get::{self, Event, Fetched, GetRequest, Outcome, Phase, Progress, WayState, Ways};
use shoal_protocol::display::{bytes_human, escape, escape_os};
use shoal_protocol::hello::Refusal;
use shoal_protocol::link::Link;
use shoal_protocol::password::Key;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output, Tone};
use crate::password;
use crate::screen::style;
use crate::signals::Signals;
use crate::units;

/// Take the files of a link: over iroh, BitTorrent and HTTP at once, every byte verified.
///
/// Ends with where the files are. Stopped in between, by whatever, the same command goes on where it stopped.
/// Needs no node.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// A web address or a magnet; put it into quotes, because shells read & themselves.
    #[arg(value_name = "LINK")]
    link: String,
    /// Put the files into DIR/<name>; DIR is made if it is missing.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Take the bytes this way alone; may be given several times.
    #[arg(long, value_enum, value_name = "WAY", value_delimiter = ',')]
    via: Vec<Via>,
    /// Wait until everything is on the disk before the files get their names.
    ///
    /// Without it, get ends when everything is verified and has its name, and the system writes it to the disk within
    /// about half a minute, as it does for cp, rsync and browsers. With it, a power cut leaves all of it or none.
    #[arg(long)]
    fsync: bool,
    /// Where the link has a password: the first line of this file. Without it the terminal is asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Trust certificates (https) that the authorities in this file (PEM) signed, besides the system's.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Via {
    /// QUIC, encrypted.
    Iroh,
    /// BitTorrent.
    Torrent,
    /// HTTP.
    Http,
}

/// Passwords that a person may mistype before the command ends.
const TYPED_MAX: usize = 3;
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

pub(crate) async fn run(args: FetchArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let link = link(&args.link)?;
    let into = std::path::absolute(&args.output)
        .map_err(|error| Failure::path("cannot find", &args.output, &error))?;
    let mut request = GetRequest {
        link,
        into,
        ways: ways(&args.via),
        options: get::Options {
            durability: match args.fsync {
                true => get::Durability::Synced,
                false => get::Durability::Written,
            },
            ..get::Options::default()
        },
    };
    if let Some(path) = &args.cacert {
        request.options.authorities = authorities(path)?;
    }
    if let Some(path) = &args.password_file {
        let password = password::in_file(path, output)?;
        request.options.password = Some(key(password, &request.link).await?);
    }
    let mut typed = 0;
    loop {
        let fetched = fetch(request.clone(), output).await?;
        match fetched {
            Ok(fetched) => return done(&fetched, output),
            Err(get::GetError::Refused(why @ (Refusal::Password | Refusal::WrongPassword)))
                if args.password_file.is_none() && typed < TYPED_MAX && is_asked(output) =>
            {
                if why == Refusal::WrongPassword {
                    output.note("That is not the password of this link.");
                }
                typed += 1;
                let password = password::typed("Password of the link: ").await?;
                request.options.password = Some(key(password, &request.link).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether somebody sits at a terminal who can be asked.
fn is_asked(output: &Output) -> bool {
    output.form == Form::Human && std::io::stdin().is_terminal()
}

/// What a password makes for the link that is fetched.
async fn key(text: String, link: &Link) -> Result<Key, Failure> {
    let id = match link {
        Link::Web(web) => Some(web.id),
        Link::Magnet(magnet) => magnet.capability.as_ref().map(|it| it.capability.link_id()),
    };
    let no_password = || {
        Failure::usage(
            "a magnet that Shoal did not make has no password",
            "leave --password-file out",
        )
    };
    password::key(text, id.ok_or_else(no_password)?).await
}

/// Certificates of authorities, as PEM.
fn authorities(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::path("cannot read the certificates in", path, &error);
    let text = std::fs::read(path).map_err(failed)?;
    let has_one = text
        .windows(CERTIFICATE.len())
        .any(|part| part == CERTIFICATE);
    if !has_one {
        return Err(Failure::usage(
            format!("there is no certificate in {}", shown(path)),
            "name a PEM file: it has lines that begin with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(text)
}

/// One run, with its progress on the screen.
async fn fetch(
    request: GetRequest,
    output: &Output,
) -> Result<Result<Fetched, get::GetError>, Failure> {
    let mut signals = Signals::listen()?;
    let cancel = CancellationToken::new();
    let screen = Arc::new(Screen::new(output.clone(), cancel.clone()));
    let fetching = get::get(request, screen.clone(), cancel.clone());
    tokio::pin!(fetching);
    let fetched = tokio::select! {
        fetched = &mut fetching => fetched,
        () = signals.next() => {
            cancel.cancel();
            // What was begun is written down, unless somebody cannot wait.
            tokio::select! {
                fetched = &mut fetching => fetched,
                () = signals.next() => Err(get::GetError::Cancelled),
            }
        }
    };
    screen.end()?;
    Ok(fetched)
}

/// Not clap's to parse: it would quote a magnet of a thousand letters before it says what is wrong with it.
fn link(text: &str) -> Result<Link, Failure> {
    Link::parse(text.trim()).map_err(|error| {
        let why = error.to_string();
        let (why, next) = why
            .rsplit_once(": copy")
            .map_or((why.as_str(), "the whole link again"), |(why, rest)| {
                (why, rest.trim_start())
            });
        Failure::usage(escape(why), format!("copy {next}, in quotes"))
    })
}

fn ways(via: &[Via]) -> Ways {
    let mut chosen = via.iter().map(|via| match via {
        Via::Iroh => get::Way::Iroh,
        Via::Torrent => get::Way::Torrent,
        Via::Http => get::Way::Http,
    });
    match chosen.next() {
        None => Ways::all(),
        Some(first) => chosen.fold(Ways::only(first), Ways::and),
    }
}

fn done(fetched: &Fetched, output: &Output) -> Result<(), Failure> {
    let ways: Map<String, Value> = fetched
        .ways
        .iter()
        .map(|(way, bytes)| (way.to_string(), Value::from(*bytes)))
        .collect();
    output.tagged(
        "done",
        &json!({
        "path": fetched.path,
            "files": fetched.files,
            "bytes": fetched.bytes,
            "resumed_bytes": fetched.resumed_bytes,
            "already_there": fetched.outcome == Outcome::AlreadyThere,
            "ways": ways,
        }),
    )?;
    let size = format!(
        "{}, {}",
        units::count(fetched.files, "file"),
        bytes_human(fetched.bytes)
    );
    output.note(&match fetched.outcome {
        Outcome::AlreadyThere => format!("All of it was there already: {size}"),
        Outcome::Fetched => format!("Complete and verified: {size}{}", by_ways(fetched)),
    });
    output.line(&shown(&fetched.path))
}

fn by_ways(fetched: &Fetched) -> String {
    let parts: Vec<String> = fetched
        .ways
        .iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(way, bytes)| format!("{way} {}", bytes_human(*bytes)))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(", "))
}

fn shown(path: &Path) -> String {
    escape_os(path.as_os_str().as_encoded_bytes()).into_owned()
}

/// The progress on this terminal, or as JSON.
struct Screen {
    output: Output,
    bar: ProgressBar,
    /// What ends the command early: nobody reads what it prints.
    unread: Mutex<Option<Failure>>,
    /// A source that joins later goes through the first phases again.
    phase: Mutex<Option<Phase>>,
    cancel: CancellationToken,
}

impl Screen {
    fn new(output: Output, cancel: CancellationToken) -> Self {
        let bar = output.show(ProgressBar::no_length().with_style(style("{msg}")));
        Self {
            output,
            bar,
            unread: Mutex::new(None),
            phase: Mutex::new(None),
            cancel,
        }
    }

    /// Takes the bar away; the error if what was printed was not read.
    fn end(&self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        lock(&self.unread).take().map_or(Ok(()), Err)
    }

    fn tagged(&self, kind: &'static str, value: &Value) {
        if let Err(failure) = self.output.tagged(kind, value) {
            *lock(&self.unread) = Some(failure);
            self.cancel.cancel();
        }
    }

    fn phase(&self, phase: Phase) {
        let before = lock(&self.phase).replace(phase);
        if before == Some(phase) {
            return;
        }
        let (word, sentence) = match phase {
            Phase::Connecting => ("connecting", "Looking for somebody who has it"),
            Phase::Metadata => ("metadata", "Reading what it contains"),
            Phase::WaitingForHashing => (
                "waiting",
                "The other side still hashes its files; this goes on when it is done",
            ),
            Phase::Rechecking => (
                "rechecking",
                "Checking what is there already, because the machine or the disk was started anew since",
            ),
            Phase::Fetching => ("fetching", ""),
            Phase::Finishing => ("finishing", "Everything is there; settling names and times"),
        };
        self.tagged("phase", &json!({"phase": word}));
        if phase == Phase::Fetching {
            self.bar.set_style(fetching());
            self.bar.reset_eta();
        } else {
            self.bar.set_style(style("{msg}"));
            self.bar.set_message(sentence);
        }
    }

    fn way(&self, way: get::Way, address: &str, state: &WayState) {
        let (word, why) = match state {
            WayState::Up => ("up", None),
            WayState::Down { why } => ("down", Some(why)),
            WayState::Dropped { why } => ("dropped", Some(why)),
        };
        self.tagged(
            "way",
            &json!({
            "way": way.to_string(),
                "address": address,
                "state": word,
                "why": why,
            }),
        );
        if let WayState::Dropped { why } = state {
            self.output.note(&format!(
                "No longer taking from {} ({way}): {}",
                escape(address),
                escape(why)
            ));
        }
    }
}

impl Progress for Screen {
    fn event(&self, event: Event) {
        match event {
            Event::Phase(phase) => self.phase(phase),
            Event::Total { name, files, bytes } => {
                self.tagged(
                    "total",
                    &json!({"name": name, "files": files, "bytes": bytes}),
                );
                self.bar.set_length(bytes);
                self.output.note(&format!(
                    "{}: {}, {}",
                    self.output.toned(&escape(&name), Tone::Strong),
                    units::count(files, "file"),
                    bytes_human(bytes)
                ));
            }
            Event::Done {
                bytes,
                resumed_bytes,
            } => {
                if self.output.form == Form::Json {
                    self.tagged(
                        "progress",
                        &json!({
                        "bytes": bytes,
                            "bytes_total": self.bar.length(),
                            "resumed_bytes": resumed_bytes,
                        }),
                    );
                }
                if self.bar.position() == 0 && resumed_bytes > 0 {
                    // What an earlier run fetched says nothing about today's speed.
                    self.bar.set_position(resumed_bytes);
                    self.bar.reset_eta();
                }
                self.bar.set_position(bytes);
            }
            Event::Way {
                way,
                address,
                state,
            } => self.way(way, &address, &state),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fetching() -> indicatif::ProgressStyle {
    style(
        "[{bar:30}] {percent} %, {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_choice_is_every_way() {
        assert_eq!(ways(&[]), Ways::all());
        assert_eq!(ways(&[Via::Http]), Ways::only(get::Way::Http));
        let two = ways(&[Via::Http, Via::Iroh]);
        assert!(two.has(get::Way::Iroh) && !two.has(get::Way::Torrent));
    }
}
