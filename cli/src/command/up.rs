//! `shoal up`.

use std::fs::OpenOptions;

use clap::Args;
use shoal_api::{Api, ErrorCode};
use shoal_node::Node;

use crate::args::Listening;
use crate::command::status;
use crate::context::Context;
use crate::failure::Failure;
use crate::logging::{self, Stderr};
use crate::seat;
use crate::signals::Signals;
use crate::{background, connect};

/// Run the node, the program that serves the links of this home and keeps its filesets.
///
/// In the foreground it logs to stderr until Ctrl-C. With --detach it goes on in the background,
/// and the command returns when the node answers.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Go on in the background; return when the node answers.
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    pub(crate) listening: Listening,
    /// What --detach starts: prints one line and lets go of the terminal.
    #[arg(long, hide = true, conflicts_with = "detach")]
    as_background: bool,
}

pub(crate) async fn run(args: UpArgs, context: &Context) -> Result<(), Failure> {
    if args.detach {
        logging::begin(context, "info", Stderr::Asked);
        return detach(&args, context).await;
    }
    let stderr = if args.as_background {
        Stderr::Nobody
    } else {
        Stderr::Lines
    };
    logging::begin(context, &seat::config(context)?.log_level(), stderr);
    let mut signals = Signals::listen()?;
    if args.as_background {
        rustix::process::setsid()
            .map_err(|error| Failure::internal(format!("no session of its own: {error}")))?;
    }
    let node = seat::start_node(context, &args.listening).await?;
    let outcome = serve(&node, &args, context, &mut signals).await;
    let ending = async {
        node.shutdown().await;
        context.log.close();
    };
    tokio::select! {
        () = ending => outcome,
        () = signals.next() => Err(Failure::interrupted(
            "ended at once",
            "`shoal up` serves the links again",
        )),
    }
}

/// Until a signal or a command ends it.
async fn serve(
    node: &Node,
    args: &UpArgs,
    context: &Context,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let status = node.api().status().await?;
    status::show(&status, &context.output)?;
    if args.as_background {
        let_go_of_the_terminal()?;
    }
    tokio::select! {
        () = node.wait() => tracing::info!("a command ends this node"),
        () = signals.next() => tracing::info!("a signal ends this node"),
    }
    Ok(())
}

/// Whoever started this reads until the end of stdout.
fn let_go_of_the_terminal() -> Result<(), Failure> {
    let nowhere = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map_err(|error| Failure::path("cannot open", "/dev/null".as_ref(), &error))?;
    rustix::stdio::dup2_stdout(&nowhere)
        .map_err(|error| Failure::internal(format!("stdout cannot be closed: {error}")))
}

async fn detach(args: &UpArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let status = match connect::running(context).await {
        Ok(node) if !args.listening.is_given() => {
            output.note("A node runs on this home already.");
            node.status().await?
        }
        Ok(node) => {
            return Err(Failure::new(
                ErrorCode::HomeInUse,
                format!(
                    "a node runs on this home already (pid {}), and not with these options",
                    node.status().await?.pid
                ),
                "end it, then run this command again: shoal down",
            ));
        }
        Err(failure) if failure.is(ErrorCode::NoNode) => {
            background::start(context, &args.listening.to_options()).await?
        }
        Err(failure) => return Err(failure),
    };
    status::show(&status, output)
}
