//! Limits of everything that arrives from outside. Units are in the names.

/// Bytes of a path, all components and separators together. `PATH_MAX` of Linux.
pub const PATH_MAX_BYTES: usize = 4096;
/// Bytes of one path component. `NAME_MAX` of Linux.
pub const NAME_MAX_BYTES: usize = 255;
/// Components of a path.
pub const PATH_MAX_DEPTH: usize = 256;
/// Entries of a manifest.
pub const MANIFEST_MAX_ENTRIES: usize = 4_000_000;
/// Bytes of all paths of a manifest that is read: prefix-coded, few bytes can stand for long paths.
pub const MANIFEST_PATHS_MAX_BYTES: usize = 512 << 20;
/// Bytes of an encoded manifest that a taker accepts.
pub const MANIFEST_MAX_BYTES: usize = 512 << 20;
/// Bytes of an encoded capability.
pub const CAPABILITY_MAX_BYTES: usize = 2048;
/// Address hints in a capability.
pub const CAPABILITY_MAX_HINTS: usize = 16;
/// Bytes of an encoded content record.
pub const RECORD_MAX_BYTES: usize = 2048;
/// Bytes of a link's text.
pub const LINK_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a `.torrent` that is read. BEP 9 transfers of real clients stay far below.
pub const METAINFO_MAX_BYTES: usize = 512 << 20;
/// Nesting depth of bencoded values.
pub const BENCODE_MAX_DEPTH: usize = 64;
/// Bytes of one BitTorrent peer message that a seeder accepts; requests and extended handshakes are small.
pub const PEER_MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Bytes one BitTorrent `request` may ask for: 128 KiB, as common clients accept.
pub const PEER_REQUEST_MAX_BYTES: u32 = 128 * 1024;
/// Bytes of an iroh-blobs request; 1 MiB holds a `GetMany` of 30,000 hashes.
pub const BLOBS_REQUEST_MAX_BYTES: usize = 1 << 20;

/// Bytes of one message between two replicas of a fileset.
pub const SYNC_MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Entries in one message between replicas.
pub const SYNC_PAGE_MAX_ENTRIES: usize = 4096;
/// Bytes after which a sender ends a page of entries.
pub const SYNC_PAGE_TARGET_BYTES: usize = 128 * 1024;
/// Pages that may be under way to one peer before it acknowledged them.
pub const SYNC_PAGES_UNACKNOWLEDGED: usize = 4;
/// Authors (devices times epochs) of one fileset, and of one version vector.
pub const SYNC_AUTHORS_MAX: usize = 1024;
/// Siblings that one path may have; a peer that brings more is refused.
pub const SYNC_SIBLINGS_MAX: usize = 64;
/// Records of a group's log. Each is checked against all before it, so their number bounds that work too.
pub const GROUP_MAX_RECORDS: usize = 512;
/// Devices of a group.
pub const GROUP_MAX_MEMBERS: usize = 64;
/// Bytes of one signed record of a group's log.
pub const GROUP_RECORD_MAX_BYTES: usize = 16 * 1024;
/// Records that one record names as its parents.
pub const GROUP_MAX_PARENTS: usize = 16;
/// Authors whose last accepted counters a removal names.
pub const GROUP_MAX_ACCEPTED: usize = 256;
/// Bytes of a device's name.
pub const DEVICE_NAME_MAX_BYTES: usize = 64;
/// Addresses under which one device is sought.
pub const CONTACT_MAX_ADDRESSES: usize = 16;
/// Bytes of a signed contact.
pub const CONTACT_MAX_BYTES: usize = 1024;
/// Bytes of a signed genesis record of a fileset.
pub const GENESIS_MAX_BYTES: usize = 1024;
/// Filesets that one device keeps.
pub const CATALOGUE_MAX_FILESETS: usize = 1024;
/// Bytes of what a device tells of the filesets that it keeps.
pub const CATALOGUE_MAX_BYTES: usize = CATALOGUE_MAX_FILESETS * (GENESIS_MAX_BYTES + 2) + 8;
/// Addresses in an invite: more make its QR code hard to read.
pub const INVITE_MAX_ADDRESSES: usize = 8;
/// Characters of an invite, words or link.
pub const INVITE_MAX_CHARS: usize = 1024;
/// Bytes of one message while two devices pair, before the group's log is handed over.
pub const PAIRING_MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// Bytes of the log and the contacts of a group together, as one device hands them to another.
pub const GROUP_NEWS_MAX_BYTES: usize = 9 << 20;
/// Paths that one look at the disk may leave undecided until its end; above it, a rename counts as a new file.
pub const SYNC_LOOK_MAX_PATHS: usize = 1 << 18;
/// Rows that are read, and paths that are worked on, in one go.
pub const SYNC_ROUND_MAX_PATHS: usize = 512;
/// Paths that wait for work in memory; with more, the whole index is walked instead.
pub const SYNC_TODO_MAX_PATHS: usize = 1 << 16;
/// Paths of one batch of rows, where it can be divided.
pub const SYNC_BATCH_MAX_PATHS: usize = 1024;
/// Contents that are fetched at the same time.
pub const SYNC_FETCHES_MAX: usize = 2048;
