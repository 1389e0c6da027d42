//! The way to a node in another process.

use std::io;
use std::time::Duration;

use shoal_api::{ApiError, Client, ErrorCode};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::background;
use crate::context::Context;
use crate::failure::Failure;

/// Time that a node has between taking the home's lock and answering on its socket.
const START_LIMIT: Duration = Duration::from_secs(20);
/// There is no event for "the lock is free" or "somebody listens": this is how often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The node that runs on this home.
pub(crate) async fn running(context: &Context) -> Result<Client, Failure> {
    let home = &context.home;
    let token = match std::fs::read_to_string(home.token_file()) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none(context)),
        Err(error) => {
            return Err(Failure::path("cannot read", &home.token_file(), &error));
        }
    };
    let client = Client::new(home.socket(), token);
    match client.probe().await {
        Ok(()) => Ok(client),
        Err(error) if error.code == ErrorCode::NoNode => Err(none(context)),
        Err(error) => Err(error.into()),
    }
}

/// The node of this home; where none runs one is started in the background, and that is said.
pub(crate) async fn needed(context: &Context) -> Result<Client, Failure> {
    match running(context).await {
        Err(failure) if failure.is(ErrorCode::NoNode) => {}
        other => return other,
    }
    if context.global.no_start {
        return Err(refused_to_start(context));
    }
    let mut patience = Patience::new();
    loop {
        let in_use = match background::start(context, &[]).await {
            Ok(status) => {
                context.output.aside(&format!(
                    "Started a node in the background (pid {}); `shoal down` ends it.",
                    status.pid
                ));
                return running(context).await;
            }
            Err(failure) if failure.is(ErrorCode::HomeInUse) => failure,
            Err(failure) => return Err(failure),
        };
        // Somebody else was faster, and that node will do; or one is ending just now.
        match running(context).await {
            Err(failure) if failure.is(ErrorCode::NoNode) => patience.wait(in_use).await?,
            other => return other,
        }
    }
}

/// Whether nobody holds the home's lock. Looking takes it for an instant, which whoever wants it takes for a node
/// that ends, and tries again.
pub(crate) fn home_is_free(context: &Context) -> bool {
    let Ok(file) = std::fs::File::open(context.home.lock_file()) else {
        return true;
    };
    file.try_lock_shared().is_ok()
}

/// `--no-start` forbids the node that is needed.
pub(crate) fn refused_to_start(context: &Context) -> Failure {
    Failure::new(
        ErrorCode::NoNode,
        format!(
            "no node runs on the home {}, and --no-start forbids to start one",
            context.home.data_dir().display()
        ),
        "start one with `shoal up --detach`, or leave --no-start out",
    )
}

/// How often to look whether a node comes or goes; the first time at once.
pub(crate) fn pace() -> Interval {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Looks again and again, but not for ever.
pub(crate) struct Patience {
    ticks: Interval,
    until: Instant,
}

impl Patience {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self {
            ticks: pace(),
            until: Instant::now() + START_LIMIT,
        }
    }

    /// Until it is worth to look again; the error once that has taken too long.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        if Instant::now() > self.until {
            return Err(failure);
        }
        self.ticks.tick().await;
        Ok(())
    }
}

fn none(context: &Context) -> Failure {
    ApiError::new(
        ErrorCode::NoNode,
        format!(
            "no node runs on the home {}",
            context.home.data_dir().display()
        ),
    )
    .hint("start one: shoal up --detach")
    .into()
}
