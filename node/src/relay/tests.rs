//! A real node, and clients of iroh's own.

#![allow(clippy::unwrap_used)]

use super::{CONNECTIONS_PER_DEVICE, INVITE_PARAMETER};
use crate::group::GroupApi;
use crate::{Config, Home, Node, Overrides, Xdg};
use futures::StreamExt;
use iroh::SecretKey;
use iroh::dns::DnsResolver;
use iroh_relay::client::{Client, ClientBuilder};
use iroh_relay::tls::{CaTlsConfig, default_provider};
use shoal_api::{DeviceApi, InviteRequest};
use shoal_protocol::invite::{InviteSecret, InviteTag};
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn node() -> (tempfile::TempDir, Node) {
    let dir = tempfile::Builder::new().prefix("shoal-").tempdir().unwrap();
    let home = Home::locate(Some(dir.path().to_owned()), &Xdg::default()).unwrap();
    let config = Config::load(home.config_file()).unwrap();
    let overrides = Overrides {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        ..Overrides::default()
    };
    let node = Node::start(home, config, overrides);
    (dir, node.await.unwrap())
}

async fn come(node: &Node, key: [u8; 32], invite: Option<InviteTag>) -> Result<Client, String> {
    let at = node.members().0.own_relays()[0];
    let query = invite.map(|tag| format!("?{INVITE_PARAMETER}={}", tag.to_hex()));
    let url = format!("http://{at}/{}", query.unwrap_or_default());
    let tls = CaTlsConfig::default()
        .client_config(default_provider())
        .unwrap();
    let key = SecretKey::from_bytes(&key);
    let client = ClientBuilder::new(
        url.parse::<iroh::RelayUrl>().unwrap(),
        key,
        DnsResolver::new(),
    );
    let client = client.tls_client_config(tls);
    let client = timeout(PATIENCE, client.connect()).await.unwrap();
    client.map_err(|error| format!("{error:#}"))
}

/// Until the relay hangs up.
async fn put_out(mut client: Client) {
    let end = async { while let Some(Ok(_)) = client.next().await {} };
    timeout(PATIENCE, end).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_guests_stay_while_they_are_invited() {
    let (_dir, node) = node().await;
    let refused = come(&node, [1; 32], None).await.unwrap_err();
    assert!(refused.contains("one group of devices"), "{refused}");
    let made_up = InviteSecret([7; 16]).tag();
    come(&node, [1; 32], Some(made_up)).await.unwrap_err();

    let api = GroupApi(node.members().0);
    let invite = api.invite(InviteRequest::default()).await.unwrap();
    let tag = InviteTag::from_hex(&invite.id);
    let guest = come(&node, [1; 32], tag).await.unwrap();
    api.cancel_invite(&invite.id).await.unwrap();
    put_out(guest).await;
    come(&node, [1; 32], tag).await.unwrap_err();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_few_connections_and_the_newest_stay() {
    let (dir, node) = node().await;
    let own = std::fs::read(dir.path().join("device.key")).unwrap();
    let own: [u8; 32] = own.try_into().unwrap();
    let mut clients = Vec::new();
    for _ in 0..=CONNECTIONS_PER_DEVICE {
        clients.push(come(&node, own, None).await.unwrap());
    }
    put_out(clients.remove(0)).await;
    node.shutdown().await;
}
