#![allow(clippy::unwrap_used)]
use super::*;
use crate::serve::MemoryBlob;
use crate::serve::port::Blob;
use bao_tree::ChunkNum;
use bao_tree::io::sync::encode_ranges;
use iroh_blobs::store::IROH_BLOCK_SIZE;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Counter(AtomicU64);

impl Seat for Counter {
    fn sent(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn complete(&self) {}
}

struct OneBlob(Arc<MemoryBlob>);

impl Blobs for OneBlob {
    fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        (*hash == self.0.hash()).then(|| self.0.clone() as Arc<dyn Blob>)
    }

    fn ended(&self) -> CancellationToken {
        CancellationToken::new()
    }
}

async fn answered(blob: &Arc<MemoryBlob>, ranges: ChunkRanges) -> Vec<u8> {
    let asked = Asked::One(GetRequest::blob_ranges(blob.hash().0.into(), ranges));
    let mut parts = answer(
        asked,
        Arc::new(OneBlob(blob.clone())),
        Arc::new(Counter::default()),
    );
    let mut all = Vec::new();
    while let Some(part) = parts.recv().await {
        all.extend_from_slice(&part.unwrap());
    }
    all
}

/// Not only whole groups: odd chunks, several ranges, beyond the end, nothing. Sizes at the edges of chunks and groups.
#[tokio::test]
async fn an_answer_is_what_bao_tree_encodes() {
    let mut random = 0x5348_4f41_u64;
    let mut below = |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % end
    };
    let mut sizes = vec![
        0,
        1,
        1024,
        1025,
        16 * 1024,
        16 * 1024 + 1,
        1_000_000,
        1 << 20,
    ];
    sizes.extend((0..24).map(|_| below(700_000) as usize));
    for size in sizes {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
        let blob = Arc::new(MemoryBlob::new(bytes.clone().into()));
        let outboard =
            bao_tree::io::outboard::PostOrderMemOutboard::create(&bytes, IROH_BLOCK_SIZE);
        let mut wanted = vec![
            ChunkRanges::all(),
            ChunkRanges::from(..ChunkNum(16)),
            ChunkRanges::from(ChunkNum(16)..ChunkNum(64)),
            ChunkRanges::from(ChunkNum(3)..ChunkNum(21)),
            ChunkRanges::from(ChunkNum(u64::MAX)..),
        ];
        for _ in 0..40 {
            let chunks = size as u64 / 1024 + 20;
            let range =
                |from: u64, len: u64| ChunkRanges::from(ChunkNum(from)..ChunkNum(from + len));
            wanted.push(
                range(below(chunks), below(40) + 1) | range(below(chunks), below(chunks) + 1),
            );
        }
        for ranges in wanted {
            let mut expected = (size as u64).to_le_bytes().to_vec();
            encode_ranges(&bytes[..], &outboard, &ranges, &mut expected).unwrap();
            assert!(
                answered(&blob, ranges.clone()).await == expected,
                "{size} {ranges:?}"
            );
        }
    }
}

#[tokio::test]
async fn bytes_of_files_are_counted_and_hashes_are_not() {
    let blob = Arc::new(MemoryBlob::new(vec![7; 100_000].into()));
    for (ranges, payload) in [
        (ChunkRanges::all(), 100_000),
        (ChunkRanges::from(ChunkNum(3)..ChunkNum(21)), 18 * 1024),
    ] {
        let seat = Arc::new(Counter::default());
        let asked = Asked::One(GetRequest::blob_ranges(blob.hash().0.into(), ranges));
        let mut parts = answer(asked, Arc::new(OneBlob(blob.clone())), seat.clone());
        while parts.recv().await.is_some() {}
        assert_eq!(seat.0.load(Ordering::Relaxed), payload);
    }
}

/// Takers that read nothing, or some and then nothing, keep neither threads nor large parts from one that reads.
#[tokio::test]
async fn many_stalled_takers_do_not_hold_up_another() {
    let blob = Arc::new(MemoryBlob::new(vec![7; 32 << 20].into()));
    let asked = || {
        Asked::One(GetRequest::blob(iroh_blobs::Hash::from_bytes(
            blob.hash().0,
        )))
    };
    let start = || {
        answer(
            asked(),
            Arc::new(OneBlob(blob.clone())),
            Arc::new(Counter::default()),
        )
    };
    let mut stalled = Vec::new();
    for n in 0..600 {
        let mut parts = start();
        for _ in 0..n % 8 {
            parts.recv().await.unwrap().unwrap();
        }
        stalled.push(parts);
    }
    let everything = tokio::time::timeout(Duration::from_secs(20), async {
        let mut parts = start();
        let mut bytes = 0;
        while let Some(part) = parts.recv().await {
            bytes += part.unwrap().len();
        }
        bytes
    });
    assert!(everything.await.unwrap() > 32 << 20);
    let held: usize = stalled
        .iter_mut()
        .map(|parts| {
            std::iter::from_fn(|| parts.try_recv().ok())
                .map(|part| part.unwrap().len())
                .sum::<usize>()
        })
        .sum();
    assert!(held < 130 << 20, "{held} bytes wait for takers");
}
