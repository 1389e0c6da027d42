//! A command's place beside the others of its home: it is the node, or the client of the one that is.

use std::sync::Arc;

use shoal_api::{Api, Client, ErrorCode};
use shoal_node::config::ConfigError;
use shoal_node::{Config, Node, NodeError, Overrides};
use shoal_protocol::display::{escape, escape_os};

use crate::args::Listening;
use crate::connect::{self, Patience};
use crate::context::Context;
use crate::failure::Failure;

/// A place.
pub(crate) enum Seat {
    /// This process is the node.
    Node(Box<Node>),
    /// Another one is.
    Client(Client),
}

impl Seat {
    /// Becomes the node if the home has none, else its client. Of several that try at once one becomes the
    /// node; the others wait until it answers.
    pub(crate) async fn take(context: &Context, listening: &Listening) -> Result<Self, Failure> {
        if context.global.no_start {
            return match connect::running(context).await {
                Err(failure) if failure.is(ErrorCode::NoNode) => {
                    Err(connect::refused_to_start(context))
                }
                other => other.map(Self::Client),
            };
        }
        let mut patience = Patience::new();
        loop {
            let in_use = match start_node(context, listening).await {
                Ok(node) => return Ok(Self::Node(Box::new(node))),
                Err(failure) if failure.is(ErrorCode::HomeInUse) => failure,
                Err(failure) => return Err(failure),
            };
            match connect::running(context).await {
                Ok(client) => {
                    if listening.is_given() {
                        context.output.aside(
                            "A node runs on this home already: --listen, --advertise, --tls-cert and --tls-key change nothing. To apply them: shoal down, then this command again.",
                        );
                    }
                    return Ok(Self::Client(client));
                }
                // It has the lock and does not answer yet, or no longer.
                Err(failure) if failure.is(ErrorCode::NoNode) => patience.wait(in_use).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// What to talk to.
    pub(crate) fn api(&self) -> Arc<dyn Api> {
        match self {
            Self::Node(node) => node.api(),
            Self::Client(client) => Arc::new(client.clone()),
        }
    }

    /// Waits until a command asks the node in this process to end; a client waits for the end of its events instead.
    pub(crate) async fn asked_to_end(&self) {
        match self {
            Self::Node(node) => node.wait().await,
            Self::Client(_) => std::future::pending().await,
        }
    }

    /// Gives the place up. A node ends its connections and frees the home.
    pub(crate) async fn leave(self, context: &Context) {
        if let Self::Node(node) = self {
            node.shutdown().await;
            context.log.close();
        }
    }
}

/// Starts the node of the home in this process; its log goes to the home's files from then on.
pub(crate) async fn start_node(context: &Context, listening: &Listening) -> Result<Node, Failure> {
    let home = &context.home;
    context
        .log
        .open(home.log_dir())
        .map_err(|error| Failure::path("cannot write the log in", home.log_dir(), &error))?;
    let tls = listening
        .tls()
        .map_err(|error| Failure::internal(format!("this folder has no name: {error}")))?;
    let overrides = Overrides {
        listen: listening.listen,
        advertise: listening.advertise.clone(),
        tls,
        desktop_bus: context.desktop_bus.clone(),
    };
    let started = Node::start(home.clone(), config(context)?, overrides).await;
    let node = started.map_err(|error: NodeError| {
        context.log.close();
        Failure::from(error)
    })?;
    if let Some(notice) = node.notice() {
        context.output.aside(&notice);
    }
    Ok(node)
}

/// The settings of the home.
pub(crate) fn config(context: &Context) -> Result<Config, Failure> {
    let path = context.home.config_file();
    Config::load(path).map_err(|error| {
        let shown = escape_os(path.as_os_str().as_encoded_bytes());
        let what = match &error {
            ConfigError::UnknownKey(key) => format!("there is no setting \"{}\"", escape(key)),
            ConfigError::Value { key, value, form } => {
                format!("{key} takes {form}, not \"{}\"", escape(value))
            }
            _ => return error.into(),
        };
        // They cannot be listed before that is corrected: the usual next step would lead in a circle.
        Failure::usage(
            format!("the settings in {shown} cannot be used: {what}"),
            "correct that line of the file, or remove it",
        )
    })
}
