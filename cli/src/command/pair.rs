//! `shoal pair`.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use shoal_api::{
    Answer, AnswerRequest, Api, Client, DeviceApi, ErrorCode, Event, InviteRequest, InviteView,
    JoinRequest, JoinStage, JoinView,
};
use shoal_protocol::display::escape;

use crate::connect;
use crate::context::Context;
use crate::expiry::Expiry;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::signals::Signals;
use crate::{qr, question};

/// Make two devices belong together, so that they keep files the same.
///
/// Without INVITE it prints an invite and waits. On the other device, `shoal pair INVITE` brings it back. Both then show
/// six digits: only if they are the same, nobody sits in between. Any device of the group can confirm the new one.
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct PairArgs {
    /// What `shoal pair` printed on the other device: the link, or the twelve words with --at.
    #[arg(value_name = "INVITE")]
    invite: Vec<String>,
    /// Where the other device is; words do not say that.
    #[arg(long, value_name = "HOST:PORT", requires = "invite")]
    at: Option<String>,
    /// Ask nothing: confirm the first device that brings the invite, or join without comparing the digits.
    #[arg(long)]
    yes: bool,
    /// When the invite ends; ten minutes by default.
    #[arg(long, value_name = "TIME", conflicts_with = "invite")]
    expires: Option<Expiry>,
    /// Draw no QR code.
    #[arg(long)]
    no_qr: bool,
}

const MORE: &str = "\
An invite is a secret: whoever has it may ask to join, and works for one device, once.
With --yes nobody compares the digits: whoever got hold of the invite first is let in.
Words carry no address. Until devices find each other by themselves, --at has to say where the other one is.
A device belongs to one group. One that is alone in its group takes its filesets along into the other one; from a group
with other devices it has to go first: shoal devices remove NAME, with its own name.";

pub(crate) async fn run(args: PairArgs, context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let node = connect::needed(context).await?;
    // Listening begins first, so that nothing falls between.
    let events = node.events(None).await?;
    let talk = Talk {
        node,
        output: &context.output,
        yes: args.yes,
    };
    if args.invite.is_empty() {
        invite(&args, talk, events, &mut signals).await
    } else {
        join(&args, talk, events, &mut signals).await
    }
}

/// A node, and the people who wait for what it says.
struct Talk<'a> {
    node: Client,
    output: &'a Output,
    yes: bool,
}

type Events = BoxStream<'static, Event>;

async fn invite(
    args: &PairArgs,
    talk: Talk<'_>,
    events: Events,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let expires_in_s = args
        .expires
        .map(|expiry| expiry.resolve_s(Timestamp::now(), &TimeZone::system()))
        .transpose()
        .map_err(|why| Failure::usage(format!("--expires: {why}"), "name a time in the future"))?;
    let invite = talk.node.invite(InviteRequest { expires_in_s }).await?;
    talk.output.tagged("invite", &invite)?;
    show_invite(&invite, args, talk.output)?;
    let now_s = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let left_s = invite.expires_s.saturating_sub(now_s);
    let outcome = tokio::select! {
        outcome = talk.brought(&invite, events, Duration::from_secs(left_s)) => outcome,
        () = signals.next() => Err(Failure::interrupted(
            "the invite is taken back",
            "run the same command again for a new one",
        )),
    };
    if outcome.is_err() {
        // What is reported is why it ended; the invite ends by itself, too.
        let _ = talk.node.cancel_invite(&invite.id).await;
    }
    outcome
}

fn show_invite(invite: &InviteView, args: &PairArgs, output: &Output) -> Result<(), Failure> {
    output.note("On the other device, run:");
    output.line(&format!("shoal pair {}", invite.invite))?;
    output.note("or read these words out loud, and say where this device is:");
    let at = invite.at.first().map_or("HOST:PORT", String::as_str);
    output.line(&format!("shoal pair {} --at {at}", invite.words))?;
    if !args.no_qr
        && output.is_watched()
        && let Some(code) = qr::code(&invite.invite)
    {
        output.note(code.trim_end());
    }
    let ends = crate::units::moment(invite.expires_s);
    output.note(&format!("Waiting until {ends}; Ctrl-C takes it back."));
    Ok(())
}

impl Talk<'_> {
    /// Until a device that brought the invite is in, or will not be.
    async fn brought(
        &self,
        invite: &InviteView,
        mut events: Events,
        left: Duration,
    ) -> Result<(), Failure> {
        let over = tokio::time::sleep(left);
        tokio::pin!(over);
        let ours = |of: &Option<String>| of.as_deref() == Some(invite.id.as_str());
        let mut asked = None;
        loop {
            let event = tokio::select! {
                event = events.next() => event.ok_or_else(node_gone)?,
                answer = ask(&mut asked) => {
                    let (device, answer) = answer;
                    self.answer(device, answer).await?;
                    continue;
                }
                // Whoever compares the digits at this moment may finish.
                () = &mut over, if asked.is_none() => return Err(not_brought()),
            };
            match event {
                Event::PairWaiting {
                    device,
                    name,
                    code,
                    invite: of,
                } if ours(&of) => {
                    let view = json!({"device": device, "name": name, "code": code});
                    self.output.tagged("pair_waiting", &view)?;
                    self.show_code(&format!("{} brings the invite.", escape(&name)), &code);
                    if self.yes {
                        self.answer(device, Answer::Yes).await?;
                    } else if question::can_ask() {
                        let question =
                            format!("Do both show {code}, and is {} yours?", escape(&name));
                        asked = Some((
                            device,
                            Box::pin(async move { question::yes(&question).await }) as _,
                        ));
                    } else {
                        self.output.aside(&format!(
                            "Confirm it with: shoal devices confirm {}",
                            escape(&name)
                        ));
                    }
                }
                Event::Paired {
                    device,
                    name,
                    group,
                    invite: of,
                } if ours(&of) => {
                    return self.paired(&device, &name, &group);
                }
                Event::PairFailed {
                    error, invite: of, ..
                } if ours(&of) => {
                    return Err(error.into());
                }
                Event::NodeStopping => return Err(node_gone()),
                _ => {}
            }
        }
    }

    /// Until this device is in, or will not be.
    async fn admitted(&self, view: &JoinView, mut events: Events) -> Result<(), Failure> {
        loop {
            match events.next().await.ok_or_else(node_gone)? {
                Event::Paired {
                    device,
                    name,
                    group,
                    ..
                } if device == view.device => {
                    return self.paired(&device, &name, &group);
                }
                Event::PairFailed { device, error, .. } if device == view.device => {
                    return Err(error.into());
                }
                Event::NodeStopping => return Err(node_gone()),
                _ => {}
            }
        }
    }

    async fn answer(&self, device: String, answer: Answer) -> Result<(), Failure> {
        self.node.answer(AnswerRequest { device, answer }).await?;
        Ok(())
    }

    fn show_code(&self, who: &str, code: &str) {
        self.output.note(who);
        let code = self.output.toned(code, Tone::Strong);
        self.output
            .note(&format!("Both devices must show the same digits: {code}"));
    }

    fn paired(&self, device: &str, name: &str, group: &str) -> Result<(), Failure> {
        let view = json!({"device": device, "name": name, "group": group});
        self.output.tagged("paired", &view)?;
        self.output
            .line(&format!("Paired with {}.", escape(name)))?;
        self.output
            .note("`shoal devices` lists the devices of this group.");
        Ok(())
    }
}

type Question = (String, std::pin::Pin<Box<dyn Future<Output = bool>>>);

/// The answer to an open question; never, while there is none.
async fn ask(asked: &mut Option<Question>) -> (String, Answer) {
    match asked {
        None => std::future::pending().await,
        Some((device, question)) => {
            let answer = if question.await {
                Answer::Yes
            } else {
                Answer::No
            };
            let device = device.clone();
            *asked = None;
            (device, answer)
        }
    }
}

async fn join(
    args: &PairArgs,
    talk: Talk<'_>,
    events: Events,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let request = JoinRequest {
        invite: args.invite.join(" "),
        at: args.at.clone(),
    };
    let view = talk.node.join(request).await?;
    talk.output.tagged("pair_waiting", &view)?;
    if view.stage == JoinStage::Paired {
        let devices = talk.node.status().await?.group;
        let group = devices.map(|group| group.id).unwrap_or_default();
        talk.output
            .note("These two devices belonged together before.");
        return talk.paired(&view.device, &view.name, &group);
    }
    let name = escape(&view.name).into_owned();
    if !view.brings.is_empty() {
        let names: Vec<_> = view.brings.iter().map(|name| escape(name)).collect();
        talk.output.note(&format!(
            "The devices of {name} will see, and can join, what is kept here: {}.",
            names.join(", ")
        ));
    }
    talk.show_code(&format!("The invite was made by {name}."), &view.code);
    let answered = async {
        if talk.yes {
            return talk.answer(view.device.clone(), Answer::Yes).await;
        }
        if !question::can_ask() {
            talk.output
                .aside(&format!("Confirm it with: shoal devices confirm {name}"));
            return Ok(());
        }
        let question = format!("Does {name} show {}?", view.code);
        let answer = match question::yes(&question).await {
            true => Answer::Yes,
            false => Answer::No,
        };
        talk.answer(view.device.clone(), answer).await?;
        talk.output
            .note("Waiting for somebody to confirm this device there.");
        Ok(())
    };
    let finished = async {
        let (answered, admitted) = (answered, talk.admitted(&view, events));
        tokio::pin!(answered, admitted);
        tokio::select! {
            answered = &mut answered => answered?,
            admitted = &mut admitted => return admitted,
        }
        admitted.await
    };
    tokio::select! {
        outcome = finished => outcome,
        () = signals.next() => {
            // What is reported is that it ended; the other device notices, too.
            let _ = talk.answer(view.device.clone(), Answer::No).await;
            Err(Failure::interrupted(
                "this device did not join",
                "make a new invite with `shoal pair` on the other device",
            ))
        }
    }
}

fn node_gone() -> Failure {
    Failure::new(
        ErrorCode::NoNode,
        "the node of this home ended before the devices were paired",
        "run the same command again",
    )
}

fn not_brought() -> Failure {
    Failure::new(
        ErrorCode::Refused,
        "nobody brought the invite in time",
        "run the same command again for a new one",
    )
}
