//! What `shoal share` shows: addresses, a bar while hashing, then who takes what.

use indicatif::{ProgressBar, ProgressStyle};
use shoal_api::{Access, ApiError, Event, Reach, ReachScope, ShareView, TakerView};
use shoal_protocol::display::{bytes_human, escape};

use crate::command::events::guess;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::{qr, units};

/// Files that are named as not given; the rest is counted.
const PROBLEMS_SHOWN: u64 = 20;
const PLAIN: &str = "In a browser this is plain HTTP: the network in between can read the files. --tls-cert and --tls-key encrypt it; `shoal get` takes an encrypted way where it can.";
const PLAIN_PASSWORD: &str = "NOT ENCRYPTED: in a browser this is plain HTTP, and the network in between can read the password and the files. Use --tls-cert and --tls-key, or have it taken with: shoal get --via iroh";
/// Takers that the live line names.
const TAKERS_SHOWN: usize = 3;

/// Whether the address is drawn as a QR code, where there is a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Shown,
    Hidden,
}

/// What an event means for the command.
pub(crate) enum News {
    GoesOn,
    Ended,
    Failed(ApiError),
}

/// How far the share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Hashing,
    Ready,
}

/// The share on this terminal.
pub(crate) struct Screen {
    output: Output,
    code: Code,
    id: String,
    url: String,
    access: Access,
    stage: Stage,
    bar: ProgressBar,
    problems: u64,
    finished: u64,
    last_note: String,
    /// A node that ends is found, and says so, until it is gone.
    node_stops: bool,
}

impl Screen {
    /// Of a share that was just made.
    pub(crate) fn new(output: Output, share: &ShareView, code: Code) -> Self {
        let bar = output.show(ProgressBar::no_length());
        Self {
            output,
            code,
            id: share.id.clone(),
            url: share.url.clone(),
            access: share.access,
            stage: Stage::Hashing,
            bar,
            problems: 0,
            finished: share.completed,
            last_note: String::new(),
            node_stops: false,
        }
    }

    /// The address, before anything else.
    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        self.output.object(&Event::Url {
            id: self.id.clone(),
            url: self.url.clone(),
        })?;
        self.output.line(&self.url)?;
        self.bar.set_style(hashing());
        Ok(())
    }

    /// What happened, shown once: after a change of nodes the present state comes again.
    pub(crate) fn event(&mut self, event: &Event) -> Result<News, Failure> {
        match event {
            Event::Url { url, .. } if *url == self.url => return Ok(News::GoesOn),
            Event::Ready { .. } if self.stage == Stage::Ready => return Ok(News::GoesOn),
            Event::NodeStopping if self.node_stops => return Ok(News::GoesOn),
            // The error itself is the last line.
            Event::Failed { error, .. } => return Ok(News::Failed(error.clone())),
            _ => self.output.object(event)?,
        }
        self.node_stops = matches!(event, Event::NodeStopping);
        match event {
            Event::Url { url, .. } => {
                self.output.note("The link has another address now:");
                self.output.line(url)?;
                self.url.clone_from(url);
            }
            Event::Progress {
                bytes, bytes_total, ..
            } => {
                self.bar.set_length(*bytes_total);
                self.bar.set_position(*bytes);
            }
            Event::Ready { .. } => self.ready(event)?,
            Event::Problem { path, what, .. } => self.problem(path, what),
            Event::Finished {
                who, via, bytes, ..
            } => {
                self.finished += 1;
                let sent = bytes_human(*bytes);
                self.output.note(&format!(
                    "{} has everything ({}, {sent})",
                    escape(who),
                    units::way(*via)
                ));
                self.live(&[], 0);
            }
            Event::Refused { who, via, .. } => self.note_once(format!(
                "{} was refused ({})",
                escape(who),
                units::way(*via)
            )),
            Event::WrongPassword {
                who, via, tries, ..
            } => self.output.note(&guess(who, *via, *tries)),
            Event::Taking {
                takers,
                rate_bytes_per_s,
                ..
            } => self.live(takers, *rate_bytes_per_s),
            Event::Ended { why, .. } => {
                self.output
                    .note(&format!("The link has ended: {}", escape(why)));
                return Ok(News::Ended);
            }
            Event::NodeStopping
            | Event::PairWaiting { .. }
            | Event::Paired { .. }
            | Event::PairFailed { .. }
            | Event::DeviceRemoved { .. }
            | Event::Fileset(_)
            | Event::FilesetLeft { .. }
            | Event::Conflict { .. }
            | Event::FilesetProblem { .. }
            | Event::Failed { .. }
            | Event::Opened { .. }
            | Event::Started { .. } => {}
        }
        Ok(News::GoesOn)
    }

    /// The link has ended, and this process goes on to say so to whoever opens it.
    pub(crate) fn stays(&self) {
        self.output
            .note("Whoever opens it is told why for as long as this runs: Ctrl-C ends it.");
    }

    /// Takes away what moves.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn ready(&mut self, event: &Event) -> Result<(), Failure> {
        let Event::Ready {
            url,
            magnet,
            name,
            files,
            bytes,
            reach,
            note,
            ..
        } = event
        else {
            return Ok(());
        };
        self.stage = Stage::Ready;
        self.bar.set_style(living());
        self.bar.set_message("");
        if *url != self.url {
            self.output.line(url)?;
            self.url.clone_from(url);
        }
        if let Some(magnet) = magnet {
            self.output.line(magnet)?;
        }
        self.draw_code();
        let name = self.output.toned(&escape(name), Tone::Strong);
        self.output.note(&format!(
            "{name}: {}, {}",
            units::count(*files, "file"),
            bytes_human(*bytes)
        ));
        if let Some(note) = note {
            self.output.note(&escape(note));
        }
        if self.problems > 0 {
            let text = format!("{} not given", units::count(self.problems, "path"));
            self.output.note(&self.output.toned(&text, Tone::Bad));
        }
        self.readable_by_others(reach);
        self.reach(reach);
        self.live(&[], 0);
        Ok(())
    }

    fn draw_code(&self) {
        if self.code == Code::Shown
            && self.output.is_watched()
            && let Some(code) = qr::code(&self.url)
        {
            self.output.note(code.trim_end());
        }
    }

    /// Plain HTTP that leaves this machine.
    fn readable_by_others(&self, reach: &Reach) {
        if reach.scope == ReachScope::Machine || self.url.starts_with("https://") {
            return;
        }
        match self.access {
            Access::Open => self.output.note(&self.output.toned(PLAIN, Tone::Faint)),
            // Also for programs: a password suggests that this is private.
            Access::Password => self
                .output
                .aside(&self.output.toned(PLAIN_PASSWORD, Tone::Bad)),
        }
    }

    fn reach(&self, reach: &Reach) {
        self.output.note(&reach.sentence);
        if let Some(help) = &reach.help {
            self.output.note(&self.output.toned(help, Tone::Faint));
        }
        if self.output.is_watched() {
            let text = "Ctrl-C ends serving; the link then rests until `shoal up`.";
            self.output.note(&self.output.toned(text, Tone::Faint));
        }
    }

    fn problem(&mut self, path: &str, what: &str) {
        self.problems += 1;
        if self.problems <= PROBLEMS_SHOWN {
            self.output
                .note(&format!("not given: {}: {}", escape(path), escape(what)));
        } else if self.problems == PROBLEMS_SHOWN + 1 {
            self.output
                .note(&format!("and more; all of them: shoal shares {}", self.id));
        }
    }

    /// A taker who knocks again and again is told once.
    fn note_once(&mut self, text: String) {
        if text != self.last_note {
            self.output.note(&text);
            self.last_note = text;
        }
    }

    fn live(&self, takers: &[TakerView], rate_bytes_per_s: u64) {
        if self.stage == Stage::Ready {
            let line = live_line(takers, rate_bytes_per_s, self.finished);
            self.bar.set_message(self.output.fitting(&line));
            self.bar.tick();
        }
    }
}

fn hashing() -> ProgressStyle {
    style(
        "hashing [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    )
}

fn living() -> ProgressStyle {
    style("{msg}")
}

/// A style of a template that stands in this program.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn live_line(takers: &[TakerView], rate_bytes_per_s: u64, finished: u64) -> String {
    let had = match finished {
        0 => String::new(),
        1 => "; 1 has everything".to_owned(),
        _ => format!("; {finished} have everything"),
    };
    // The last news of somebody who has everything may be that nothing moves any more.
    let taking: Vec<&TakerView> = takers
        .iter()
        .filter(|taker| taker.rate_bytes_per_s > 0 || taker.bytes < taker.total)
        .collect();
    if taking.is_empty() {
        return format!("Waiting for somebody to open the link{had}");
    }
    let mut named: Vec<String> = taking
        .iter()
        .take(TAKERS_SHOWN)
        .map(|it| taker(it))
        .collect();
    if taking.len() > TAKERS_SHOWN {
        named.push(format!("and {} more", taking.len() - TAKERS_SHOWN));
    }
    let named = named.join(", ");
    match rate_bytes_per_s {
        0 => format!("Nothing moves: {named}{had}"),
        rate => format!("{} to {named}{had}", units::speed(rate)),
    }
}

fn taker(taker: &TakerView) -> String {
    let client = taker
        .client
        .as_deref()
        .map(|client| format!(" {}", escape(client)))
        .unwrap_or_default();
    format!(
        "{} ({}{client}) {} %",
        escape(&taker.who),
        units::way(taker.via),
        units::percent(taker.bytes, taker.total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_api::Way;

    fn someone(who: &str, client: Option<&str>) -> TakerView {
        TakerView {
            who: who.to_owned(),
            via: Way::Torrent,
            bytes: 50,
            total: 200,
            rate_bytes_per_s: 5,
            client: client.map(str::to_owned),
        }
    }

    #[test]
    fn the_live_line_says_who_takes_what() {
        assert_eq!(
            live_line(&[], 0, 0),
            "Waiting for somebody to open the link"
        );
        assert_eq!(
            live_line(&[], 0, 2),
            "Waiting for somebody to open the link; 2 have everything"
        );
        assert_eq!(
            live_line(&[someone("10.0.0.3", Some("a\x1b[2J"))], 2_048, 1),
            "2.0 KiB/s to 10.0.0.3 (torrent a\\x1b[2J) 25 %; 1 has everything"
        );
        let complete = TakerView {
            bytes: 200,
            rate_bytes_per_s: 0,
            ..someone("h", None)
        };
        assert_eq!(
            live_line(&[complete], 0, 1),
            "Waiting for somebody to open the link; 1 has everything"
        );
        assert_eq!(
            live_line(&[someone("h", None)], 0, 0),
            "Nothing moves: h (torrent) 25 %"
        );
        let many: Vec<TakerView> = (0..5).map(|n| someone(&format!("h{n}"), None)).collect();
        assert!(live_line(&many, 1, 0).ends_with("h2 (torrent) 25 %, and 2 more"));
    }

    #[test]
    fn templates_are_valid() {
        for template in [
            "{msg}",
            "hashing [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
