//! `shoal share`.

use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use shoal_api::{ErrorCode, Publicity, Secret, ShareRequest, ShareView};
use shoal_protocol::display::escape_os;

use crate::args::Listening;
use crate::connect;
use crate::context::Context;
use crate::expiry::Expiry;
use crate::failure::Failure;
use crate::logging::{self, Stderr};
use crate::password;
use crate::screen::{Code, News, Screen};
use crate::seat::{self, Seat};
use crate::signals::Signals;

/// Give out files or folders under one link, in place, until Ctrl-C.
///
/// The web address is printed at once, the magnet as soon as the files are hashed. The link opens in a browser, in
/// any torrent client, and with `shoal get`. After Ctrl-C it rests until `shoal up`.
#[derive(Debug, Args)]
#[command(after_long_help = PROMISES)]
pub(crate) struct ShareArgs {
    /// Files or folders; several get one link together.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The name that others see; by default that of the path.
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// When the link ends: 30m, 12h, 7d, 2w, a day (2030-12-31: its end, here) or a moment (2030-12-31T18:00:00Z).
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// End the link when that many people have taken everything. Somebody who begins holds a place, and keeps it while
    /// they take; without a byte for ten minutes it is free again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_downloads: Option<u32>,
    /// Announce it to the public BitTorrent DHT too, where anybody can see that it exists.
    #[arg(long)]
    public: bool,
    /// Call this web address (POST, JSON) when somebody opens the link, begins, or has everything, and when it ends.
    #[arg(long, value_name = "URL", value_parser = web_address)]
    notify: Option<String>,
    /// Ask for a password now, twice: nobody sees anything of the files without it, and there is no magnet.
    #[arg(long, conflicts_with_all = ["password_file", "public"])]
    password: bool,
    /// The same, with the first line of this file as the password.
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    listening: Listening,
    /// Draw no QR code.
    #[arg(long)]
    no_qr: bool,
}

const PROMISES: &str = "\
What a link does not promise:
  Whoever has the link has the files: pass it on with care, and so will others.
  Stopping a link, or its end, cannot recall what was taken.
  Torrent clients that have the files, or parts of them, may go on giving them to each other.
  Torrent clients of others may announce the link to the public DHT, also without --public.
  A password guards the getting of a link, not its passing on: who knows both has the files.
  BitTorrent and plain HTTP are not encrypted: the network in between can read along. iroh is encrypted.";

pub(crate) async fn run(args: ShareArgs, context: &Context) -> Result<(), Failure> {
    let level = seat::config(context)?.log_level();
    logging::begin(context, &level, Stderr::Asked);
    let mut signals = Signals::listen()?;
    let mut request = request(&args)?;
    request.password = password(&args, context).await?.map(Secret);
    let seat = Seat::take(context, &args.listening).await?;
    let share = match seat.api().create_share(request).await {
        Ok(share) => share,
        Err(error) => {
            seat.leave(context).await;
            return Err(error.into());
        }
    };
    let code = if args.no_qr {
        Code::Hidden
    } else {
        Code::Shown
    };
    let mut screen = Screen::new(context.output.clone(), &share, code);
    let outcome = screen.begin();
    let outcome = match outcome {
        Ok(()) => keep(seat, &share, &mut screen, &mut signals, &args, context).await,
        Err(failure) => {
            seat.leave(context).await;
            Err(failure)
        }
    };
    screen.end();
    outcome
}

/// What ended the watching of a share.
enum Left {
    /// Ctrl-C.
    Signal,
    /// The share gives nothing any more.
    ShareEnded,
    /// The node is gone.
    NodeGone,
}

/// Shows the share until it or the person ends it, on this seat or, when its node goes, on the next.
async fn keep(
    mut seat: Seat,
    share: &ShareView,
    screen: &mut Screen,
    signals: &mut Signals,
    args: &ShareArgs,
    context: &Context,
) -> Result<(), Failure> {
    let mut pace = connect::pace();
    loop {
        let left = watch(&seat, &share.id, screen, signals).await;
        match (&seat, &left) {
            (Seat::Client(_), Ok(Left::NodeGone)) => {
                tracing::info!("the node has ended: this process may take over");
                // A node that is about to end may still be found, again and again.
                pace.tick().await;
                seat = tokio::select! {
                    seat = Seat::take(context, &args.listening) => seat?,
                    () = signals.next() => {
                        screen.end();
                        return rests(share, context);
                    }
                };
                continue;
            }
            _ => screen.end(),
        }
        let was_node = matches!(seat, Seat::Node(_));
        tokio::select! {
            () = seat.leave(context) => {}
            () = signals.next() => {
                return Err(Failure::interrupted("ended at once", "`shoal up` serves the links again"));
            }
        }
        return match left? {
            Left::Signal | Left::NodeGone if was_node => rests(share, context),
            Left::Signal => goes_on(share, context),
            Left::ShareEnded | Left::NodeGone => Ok(()),
        };
    }
}

/// Shows what happens to the share until something ends that.
async fn watch(
    seat: &Seat,
    id: &str,
    screen: &mut Screen,
    signals: &mut Signals,
) -> Result<Left, Failure> {
    let mut events = match (seat, seat.api().events(Some(id)).await) {
        (Seat::Client(_), Err(error)) if error.code == ErrorCode::NoNode => {
            return Ok(Left::NodeGone);
        }
        (_, events) => events?,
    };
    let mut ended = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = signals.next() => {
                return Ok(if ended { Left::ShareEnded } else { Left::Signal });
            }
            () = seat.asked_to_end() => return Ok(Left::NodeGone),
        };
        let Some(event) = event else {
            return Ok(Left::NodeGone);
        };
        match screen.event(&event)? {
            News::GoesOn => {}
            // Another process goes on to say why the link gives nothing; this one has to do it itself.
            News::Ended if matches!(seat, Seat::Client(_)) => return Ok(Left::ShareEnded),
            News::Ended => {
                ended = true;
                screen.stays();
            }
            News::Failed(error) => return Err(error.into()),
        }
    }
}

/// This process was the node, and nobody is known who takes over.
fn rests(share: &ShareView, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    output.tagged("resting", &json!({"id": share.id}))?;
    output.note(
        "The link rests now; `shoal up` serves it again. (A `shoal share` in another terminal takes over by itself.)",
    );
    Ok(())
}

/// Another process is the node.
fn goes_on(share: &ShareView, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    output.tagged("left", &json!({"id": share.id}))?;
    output.note(&format!(
        "The link goes on: another process is the node of this home and serves it. To end the link: shoal stop {}",
        share.id
    ));
    Ok(())
}

/// As asked for: from a file, from the terminal, or none.
async fn password(args: &ShareArgs, context: &Context) -> Result<Option<String>, Failure> {
    match &args.password_file {
        Some(path) => password::in_file(path, &context.output).map(Some),
        None if args.password => password::new().await.map(Some),
        None => Ok(None),
    }
}

fn request(args: &ShareArgs) -> Result<ShareRequest, Failure> {
    let paths = args
        .paths
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<_, _>>()?;
    let expires_in_s = args
        .expires
        .map(|expiry| expiry.resolve_s(Timestamp::now(), &TimeZone::system()))
        .transpose()
        .map_err(|why| Failure::usage(format!("--expires: {why}"), "name a time in the future"))?;
    Ok(ShareRequest {
        paths,
        name: args.name.clone(),
        expires_in_s,
        max_downloads: args.max_downloads,
        publicity: if args.public {
            Publicity::Public
        } else {
            Publicity::Private
        },
        notify: args.notify.clone(),
        password: None,
    })
}

/// Absolute, because the node may be another process; UTF-8, because that is what names in a share are.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let absolute =
        std::path::absolute(path).map_err(|error| Failure::path("cannot find", path, &error))?;
    if absolute.to_str().is_none() {
        let shown = escape_os(absolute.as_os_str().as_encoded_bytes());
        return Err(Failure::usage(
            format!("{shown} cannot be shared: its name is not UTF-8"),
            "rename it, then share it",
        ));
    }
    Ok(absolute)
}

fn web_address(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        _ => Err("this is no web address: it starts with http:// or https://".to_owned()),
    }
}
