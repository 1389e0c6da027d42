//! `shoal config`.

use clap::{Args, Subcommand};
use serde_json::json;
use shoal_node::Config;
use shoal_node::config::{KEYS, Key};
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::seat;

/// Show or change the settings of this home.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the path of the settings file.
    Path,
    /// Print one setting, or all with what they mean.
    Get {
        /// Name of a setting; without one all are listed.
        key: Option<String>,
    },
    /// Print the secret with which the notices of --notify are signed (Standard Webhooks: HMAC-SHA256).
    WebhookSecret,
    /// Change a setting; a running node takes it at its next start.
    Set {
        /// Name of a setting, as `shoal config get` lists them.
        key: String,
        /// Its new value; an empty one stands for the default of lists and addresses.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

pub(crate) fn run(args: ConfigArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    match args.action {
        Action::Path => {
            let path = context.home.config_file();
            output.tagged("config_path", &json!({"path": path}))?;
            output.line(&path.display().to_string())
        }
        Action::Get { key: Some(name) } => {
            let value = seat::config(context)?.value(&name)?;
            output.tagged("config", &json!({"key": name, "value": value}))?;
            output.line(&escape(&value))
        }
        Action::Get { key: None } => {
            let config = seat::config(context)?;
            KEYS.iter()
                .try_for_each(|key| describe(key, &config, output))
        }
        Action::WebhookSecret => {
            let secret = shoal_node::webhook_secret(&context.home)?;
            output.tagged("webhook_secret", &json!({"secret": secret}))?;
            output.line(&secret)
        }
        Action::Set { key, value } => {
            let mut config = seat::config(context)?;
            config.set(&key, &value)?;
            let value = config.value(&key)?;
            output.tagged("config", &json!({"key": key, "value": value}))?;
            output.line(&format!("{key} = {}", escape(&value)))?;
            output
                .note("A node that runs takes it at its next start: shoal down, shoal up --detach");
            Ok(())
        }
    }
}

fn describe(key: &Key, config: &Config, output: &Output) -> Result<(), Failure> {
    let value = config.value(key.name)?;
    output.tagged(
        "config",
        &json!({
        "key": key.name,
            "value": value,
            "default": key.default,
            "doc": key.doc,
            "form": key.form,
        }),
    )?;
    output.line(&format!("{} = {}", key.name, escape(&value)))?;
    let doc = format!("    {}. It takes {}.", key.doc, key.form);
    output.line(&output.toned(&doc, Tone::Faint))
}
