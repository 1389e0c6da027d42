#![allow(clippy::unwrap_used)]
use super::*;
use crate::serve::MemoryBlob;
use crate::serve::port::Blob;
use iroh::endpoint::{Connection, RelayMode, presets};
use iroh::{Endpoint, EndpointAddr};
use shoal_protocol::id::ContentHash;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

const FILESET: [u8; FILESET_ID_BYTES] = [7; FILESET_ID_BYTES];

struct Shelf(HashMap<ContentHash, Arc<MemoryBlob>>);

impl Library for Shelf {
    fn blob(&self, fileset: &[u8; FILESET_ID_BYTES], hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        let blob = self.0.get(hash).filter(|_| *fileset == FILESET)?;
        Some(blob.clone())
    }

    fn pace(&self, _: u64) -> Option<std::time::Duration> {
        None
    }

    fn sent(&self, _: &[u8; FILESET_ID_BYTES], _: u64) {}
}

#[derive(Default)]
struct Arrived {
    blobs: HashMap<usize, Vec<u8>>,
    done: Vec<usize>,
}

#[derive(Default, Clone)]
struct Got(Arc<Mutex<Arrived>>);

impl Sink for Got {
    fn write(&mut self, index: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap();
        let blob = all.blobs.entry(index).or_default();
        if blob.is_empty() {
            blob.resize(at as usize, 0);
        }
        assert_eq!(blob.len() as u64, at);
        blob.extend_from_slice(bytes);
        Ok(())
    }

    fn done(&mut self, index: usize) -> io::Result<()> {
        self.0.lock().unwrap().done.push(index);
        Ok(())
    }
}

async fn endpoint() -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .clear_ip_transports()
        .bind_addr((std::net::Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .alpns(vec![ALPN.to_vec()])
        .bind()
        .await
        .unwrap()
}

async fn connected(blobs: Vec<Vec<u8>>) -> (Connection, Vec<Want>, (Endpoint, Endpoint)) {
    let blobs: Vec<_> = blobs
        .into_iter()
        .map(|bytes| Arc::new(MemoryBlob::new(bytes.into())))
        .collect();
    let wants = blobs
        .iter()
        .map(|blob| Want {
            hash: blob.hash(),
            bytes: blob.size(),
        })
        .collect();
    let library = Arc::new(Shelf(
        blobs.into_iter().map(|blob| (blob.hash(), blob)).collect(),
    ));
    let (server, client) = (endpoint().await, endpoint().await);
    let at = server
        .bound_sockets()
        .into_iter()
        .fold(EndpointAddr::new(server.id()), |at, socket| {
            at.with_ip_addr(socket)
        });
    let accepting = server.clone();
    tokio::spawn(async move {
        let connection = accepting.accept().await.unwrap().await.unwrap();
        while let Ok((send, mut recv)) = connection.accept_bi().await {
            let mut kind = [0];
            recv.read_exact(&mut kind).await.unwrap();
            assert_eq!(kind, [CONTENT]);
            let library = library.clone();
            tokio::spawn(serve_content(send, recv, library, CancellationToken::new()));
        }
    });
    let connection = client.connect(at, ALPN).await.unwrap();
    (connection, wants, (server, client))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_whole_and_in_order() {
    let sizes = [0, 1, 16 * 1024, 16 * 1024 + 1, 3_000_000];
    let (connection, wants, _ends) = connected(sizes.map(bytes).to_vec()).await;
    let got = Got::default();
    fetch_files(&connection, &FILESET, wants, got.clone())
        .await
        .unwrap();
    let all = got.0.lock().unwrap();
    assert_eq!(all.done, [0, 1, 2, 3, 4]);
    for (index, size) in sizes.into_iter().enumerate() {
        let whole = all.blobs.get(&index).cloned().unwrap_or_default();
        assert!(whole == bytes(size), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_what_was_asked_for() {
    let (connection, wants, _ends) = connected(vec![bytes(3_000_000)]).await;
    let got = Got::default();
    let range = (1 << 20, 2 << 20);
    fetch_range(&connection, &FILESET, wants[0], range, got.clone())
        .await
        .unwrap();
    let all = got.0.lock().unwrap();
    assert!(all.blobs[&0][1 << 20..] == bytes(3_000_000)[1 << 20..2 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_and_the_rest_is_kept() {
    let (connection, mut wants, _ends) = connected(vec![bytes(10), bytes(20)]).await;
    wants[1].hash = ContentHash([1; 32]);
    let got = Got::default();
    let error = fetch_files(&connection, &FILESET, wants.clone(), got.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, CarryError::NotThere), "{error}");
    assert_eq!(got.0.lock().unwrap().done, [0]);
    let error = fetch_files(&connection, &[8; 32], wants, got)
        .await
        .unwrap_err();
    assert!(matches!(error, CarryError::NotThere), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_length_is_a_lie() {
    let (connection, mut wants, _ends) = connected(vec![bytes(10)]).await;
    wants[0].bytes = 11;
    let error = fetch_files(&connection, &FILESET, wants, Got::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CarryError::Lied), "{error}");
}
