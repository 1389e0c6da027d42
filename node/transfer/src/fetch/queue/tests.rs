#![allow(clippy::unwrap_used)]
use super::*;
use crate::fetch::Way;
use crate::fetch::marks::Proof;
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
use shoal_protocol::path::RelPath;

const MIB: u64 = 1 << 20;

fn layout(sizes: &[u64]) -> Layout {
    let entries = (0u32..).zip(sizes).map(|(at, size)| Entry {
        path: RelPath::new(&format!("f{at:05}")).unwrap(),
        kind: Kind::File {
            size: *size,
            content: ContentHash::of(&at.to_le_bytes()),
        },
        mtime_ns: 0,
        mode: 0o644,
    });
    let manifest = Manifest::new("t".into(), Shape::Folder, entries.collect()).unwrap();
    Layout::of_manifest(&manifest).unwrap()
}

fn waiting(queue: &Queue) -> Vec<Work> {
    queue.lock().waiting.iter().cloned().collect()
}

fn range(file: u32, start: u64, end: u64) -> Work {
    Work::Range { file, start, end }
}

#[test]
fn large_files_are_cut_and_small_ones_go_together() {
    let layout = layout(&[10, 40 * MIB, 20, 0]);
    let marks = Marks::new(&layout);
    marks.add(3, 0, 0, Proof::Content, None);
    let (queue, _) = Queue::new(&layout, &marks);
    let cut = [
        range(1, 0, 16 * MIB),
        range(1, 16 * MIB, 32 * MIB),
        range(1, 32 * MIB, 40 * MIB),
    ];
    let mut expected = cut.to_vec();
    expected.push(Work::Batch(vec![0, 2]));
    assert_eq!(waiting(&queue), expected);
}

#[test]
fn batches_are_bounded() {
    let layout = layout(&vec![4096; 1200]);
    let (queue, _) = Queue::new(&layout, &Marks::new(&layout));
    let lens: Vec<usize> = waiting(&queue)
        .iter()
        .map(|work| matches_batch(work).len())
        .collect();
    assert_eq!(lens, [500, 500, 200]);
}

fn matches_batch(work: &Work) -> &[u32] {
    match work {
        Work::Batch(files) => files,
        Work::Range { .. } => panic!("{work:?}"),
    }
}

#[test]
fn what_is_there_is_left_out_in_whole_groups() {
    let layout = layout(&[8 * MIB]);
    let marks = Marks::new(&layout);
    marks.add(0, 0, 20_000, Proof::Piece, Some(Way::Torrent));
    marks.add(0, 6 * MIB + 5, 8 * MIB, Proof::Piece, Some(Way::Torrent));
    let (queue, _) = Queue::new(&layout, &marks);
    assert_eq!(waiting(&queue), [range(0, 16_384, 6 * MIB + 16_384)]);
}

#[test]
fn files_of_equal_content_are_fetched_once() {
    let mut layout = layout(&[10, 10, 10]);
    layout.files[2].content = layout.files[0].content;
    let (queue, twins) = Queue::new(&layout, &Marks::new(&layout));
    assert_eq!(waiting(&queue), [Work::Batch(vec![0, 1])]);
    assert_eq!(twins.get(&0), Some(&vec![2]));
}

#[tokio::test(start_paused = true)]
async fn what_a_source_gives_back_goes_to_others() {
    let layout = layout(&[30 * MIB]);
    let marks = Marks::new(&layout);
    let (queue, _) = Queue::new(&layout, &marks);
    let first = queue.take(0, || End::Front, &marks).await;
    assert_eq!(first.work, range(0, 0, 16 * MIB));
    let last = queue.take(1, || End::Back, &marks).await;
    assert_eq!(last.work, range(0, 16 * MIB, 30 * MIB));
    marks.add(0, 0, 5 * MIB, Proof::Content, Some(Way::Iroh));
    queue.give_back(&first, &marks);
    let rest = queue.take(1, || End::Front, &marks).await;
    assert_eq!(rest.work, range(0, 5 * MIB, 16 * MIB));
    queue.leave(1, &marks);
    assert_eq!(waiting(&queue).len(), 2);
}

#[tokio::test]
async fn at_the_end_an_idle_source_joins_and_the_first_wins() {
    let layout = layout(&[2 * MIB]);
    let marks = Marks::new(&layout);
    let (queue, _) = Queue::new(&layout, &marks);
    let slow = queue.take(0, || End::Front, &marks).await;
    // Only after a while, and never by the same source.
    assert!(queue.try_take(1, End::Front, &marks).is_none());
    let rival = queue.take(1, || End::Front, &marks).await;
    assert_eq!(rival.work, slow.work);
    assert!(queue.try_take(2, End::Front, &marks).is_none());
    queue.done(&rival);
    assert!(slow.beaten.is_cancelled());
    queue.give_back(&slow, &marks);
    assert!(waiting(&queue).is_empty());
}
