//! One BitTorrent connection: handshakes, then what the peer says.

use super::Seeder;
use super::outbox::{Flood, Outbox, REQUESTS_ADVISED};
use super::swarms::Member;
use super::writer::{self, SeatCell};
use crate::serve::port::{Mark, Served, Torrent, Visitor, Way};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::InfoHash;
use shoal_protocol::metainfo::{Privacy, piece_count};
use shoal_protocol::peerwire::{
    BlockRef, EXTENDED_HANDSHAKE_ID, ExtendedHandshake, HANDSHAKE_BYTES, Handshake, Message,
    PeerWireError, PieceSet, Reserved, UtMetadata, frame_len, metadata_block,
};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// BEP 3: connections without a message for two minutes are closed; clients send keep-alives before that.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// Keep-alives, and peer exchange: BEP 11 asks for at most one a minute.
const TICK: Duration = Duration::from_secs(60);
/// Numbers of extensions in messages to us.
const UT_METADATA: u8 = 1;
const UT_PEX: u8 = 2;
/// How `shoal get` begins its peer id; twelve digits of its taker token follow.
const SHOAL_PEER_ID: &[u8] = b"-SH0010-";

/// Why a connection ended before the peer closed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it said nothing for too long")]
    Silent,
    #[error(transparent)]
    Wire(#[from] PeerWireError),
    #[error(transparent)]
    Flood(#[from] Flood),
    #[error("{0}")]
    Refused(Refusal),
    #[error("this link has nothing for torrent clients yet")]
    NotReady,
}

/// Serves a connection that begins with a BitTorrent handshake.
pub(super) async fn run(
    mut stream: TcpStream,
    address: SocketAddr,
    seeder: &Seeder,
) -> Result<(), SessionError> {
    stream.set_nodelay(true)?;
    let (served, torrent, theirs) = timeout(HANDSHAKE_TIMEOUT, shake_hands(&mut stream, seeder))
        .await
        .map_err(|_| SessionError::Silent)??;
    let (reader, writer) = stream.into_split();
    let outbox = Arc::new(Outbox::default());
    let seat = Arc::new(SeatCell::new());
    let ended = served.ended();
    let mut session = Session {
        seeder,
        infohash: theirs.infohash,
        has: PieceSet::empty(pieces(torrent.as_ref())),
        visitor: Visitor {
            address: address.ip().to_canonical(),
            way: Way::Torrent,
            mark: mark_of_peer_id(&theirs.peer_id),
            client: None,
            proof: None,
        },
        address,
        served,
        torrent: torrent.clone(),
        outbox: outbox.clone(),
        seat: seat.clone(),
        theirs: ExtendedHandshake::default(),
        member: None,
        told: HashSet::new(),
    };
    if let Some(refusal) = session.served.refuses(&session.visitor) {
        return Err(SessionError::Refused(refusal));
    }
    session.introduce(theirs.reserved)?;
    let result = tokio::select! {
        result = session.listen(reader) => result,
        result = writer::run(writer, outbox.clone(), torrent, seat) => result.map_err(SessionError::from),
        () = ended.cancelled() => Err(SessionError::Refused(Refusal::Stopped)),
    };
    outbox.close();
    result
}

async fn shake_hands(
    stream: &mut TcpStream,
    seeder: &Seeder,
) -> Result<(Arc<dyn Served>, Arc<dyn Torrent>, Handshake), SessionError> {
    let mut bytes = [0; HANDSHAKE_BYTES];
    // Some clients wait for our half before they send their peer id: the first 48 bytes say what they want.
    stream.read_exact(&mut bytes[..48]).await?;
    let start: &[u8; 48] = bytes.first_chunk().ok_or(SessionError::NotReady)?;
    let infohash = Handshake::infohash_of(start)?;
    let served = seeder
        .directory
        .by_infohash(&infohash)
        .map_err(SessionError::Refused)?;
    let torrent = served.torrent().ok_or(SessionError::NotReady)?;
    let ours = Handshake {
        reserved: Reserved::EXTENDED_AND_FAST,
        infohash,
        peer_id: our_peer_id(&seeder.nonce, &infohash),
    };
    stream.write_all(&ours.encode()).await?;
    stream.read_exact(&mut bytes[48..]).await?;
    Ok((served, torrent, Handshake::parse(&bytes)?))
}

struct Session<'a> {
    seeder: &'a Seeder,
    infohash: InfoHash,
    address: SocketAddr,
    visitor: Visitor,
    served: Arc<dyn Served>,
    torrent: Arc<dyn Torrent>,
    outbox: Arc<Outbox>,
    seat: Arc<SeatCell>,
    has: PieceSet,
    theirs: ExtendedHandshake,
    member: Option<Member>,
    told: HashSet<SocketAddr>,
}

impl Session<'_> {
    /// What we have and can do, before the peer says anything.
    fn introduce(&self, theirs: Reserved) -> Result<(), SessionError> {
        let mut out = Vec::new();
        if theirs.has_extended() {
            // A private torrent's metadata and peers come from its tracker's side alone (BEP 27).
            let public = self.torrent.privacy() == Privacy::Public;
            let size_bytes = u32::try_from(self.torrent.info().len()).ok();
            let ours = ExtendedHandshake {
                ut_metadata: public.then_some(UT_METADATA),
                ut_pex: public.then_some(UT_PEX),
                metadata_size_bytes: size_bytes.filter(|_| public),
                client: Some(self.seeder.client.to_string()),
                requests_max: Some(REQUESTS_ADVISED),
                your_ip: Some(self.visitor.address),
                upload_only: true,
                port: None,
            };
            Message::Extended {
                id: EXTENDED_HANDSHAKE_ID,
                payload: &ours.encode(),
            }
            .encode(&mut out);
        }
        if theirs.has_fast() {
            Message::HaveAll.encode(&mut out);
        } else {
            let all = PieceSet::full(pieces(self.torrent.as_ref()));
            Message::Bitfield(all.as_bitfield()).encode(&mut out);
        }
        Ok(self.outbox.push_bytes(&out)?)
    }

    async fn listen(&mut self, reader: OwnedReadHalf) -> Result<(), SessionError> {
        let mut reader = BufReader::with_capacity(32 * 1024, reader);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut frame = Vec::new();
        let mut heard = Instant::now();
        loop {
            let mut prefix = [0; 4];
            // A frame begins with four bytes that arrive together or not at all but for attackers, and
            // reading them is the only await that the tick may interrupt.
            let more = tokio::select! {
                ready = timeout_at(heard + SILENCE_MAX, wait_for_bytes(&mut reader)) => ready.map_err(|_| SessionError::Silent)??,
                _ = tick.tick() => {
                    self.tick()?;
                    continue;
                }
            };
            if !more {
                return Ok(());
            }
            timeout(SILENCE_MAX, reader.read_exact(&mut prefix))
                .await
                .map_err(|_| SessionError::Silent)??;
            frame.resize(frame_len(prefix)?, 0);
            timeout(SILENCE_MAX, reader.read_exact(&mut frame))
                .await
                .map_err(|_| SessionError::Silent)??;
            heard = Instant::now();
            self.hear(Message::parse(&frame)?)?;
        }
    }

    fn hear(&mut self, message: Message<'_>) -> Result<(), SessionError> {
        match message {
            Message::Interested => self.say(Message::Unchoke),
            Message::Request(block) => self.request(block),
            Message::Cancel(block) => {
                self.outbox.cancel(block);
                Ok(())
            }
            Message::Have(piece) => {
                self.has.insert(piece)?;
                self.check_complete();
                Ok(())
            }
            Message::Bitfield(bits) => {
                self.has = PieceSet::from_bitfield(bits, pieces(self.torrent.as_ref()))?;
                self.check_complete();
                Ok(())
            }
            Message::HaveAll => {
                self.has = PieceSet::full(pieces(self.torrent.as_ref()));
                self.check_complete();
                Ok(())
            }
            Message::Extended {
                id: EXTENDED_HANDSHAKE_ID,
                payload,
            } => self.extended_handshake(payload),
            Message::Extended {
                id: UT_METADATA,
                payload,
            } => self.metadata(payload),
            _ => Ok(()),
        }
    }

    fn request(&mut self, block: BlockRef) -> Result<(), SessionError> {
        block.range_in(self.torrent.piece_length(), self.torrent.total_bytes())?;
        match self.seat.get() {
            Some(seat) => seat.again().map_err(SessionError::Refused)?,
            None => {
                let seat = self
                    .served
                    .admit(&self.visitor)
                    .map_err(SessionError::Refused)?;
                let _ = self.seat.set(seat);
            }
        }
        Ok(self.outbox.push_block(block)?)
    }

    /// A client that has every piece after it took some from us is a taker that is complete.
    fn check_complete(&self) {
        if let Some(seat) = self.seat.get().filter(|_| self.has.is_full()) {
            seat.complete();
        }
    }

    fn extended_handshake(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.theirs = ExtendedHandshake::parse(payload)?;
        if self.seat.get().is_none() {
            self.visitor.client = self.theirs.client.clone();
        }
        if let Some(port) = self.theirs.port {
            let address = SocketAddr::new(self.address.ip().to_canonical(), port);
            self.member = Some(self.seeder.swarms.join(self.infohash, address));
        }
        self.exchange_peers()
    }

    /// Metadata (BEP 9): blocks of 16 KiB of the info dictionary.
    fn metadata(&self, payload: &[u8]) -> Result<(), SessionError> {
        let (UtMetadata::Request { block }, Some(id)) =
            (UtMetadata::parse(payload)?, self.theirs.ut_metadata)
        else {
            return Ok(());
        };
        if self.torrent.privacy() == Privacy::Private {
            return Ok(());
        }
        let info = self.torrent.info();
        let total_size_bytes = u32::try_from(info.len()).unwrap_or(u32::MAX);
        let answer = match metadata_block(&info, block) {
            Some(data) => UtMetadata::Data {
                block,
                total_size_bytes,
                data,
            },
            None => UtMetadata::Reject { block },
        };
        self.say(Message::Extended {
            id,
            payload: &answer.encode(),
        })
    }

    fn tick(&mut self) -> Result<(), SessionError> {
        self.say(Message::KeepAlive)?;
        self.exchange_peers()
    }

    fn exchange_peers(&mut self) -> Result<(), SessionError> {
        let public = self.torrent.privacy() == Privacy::Public;
        let Some(id) = self.theirs.ut_pex.filter(|_| public) else {
            return Ok(());
        };
        let itself = self
            .theirs
            .port
            .map(|port| SocketAddr::new(self.address.ip().to_canonical(), port));
        match self
            .seeder
            .swarms
            .news(&self.infohash, &mut self.told, itself)
        {
            Some(pex) => self.say(Message::Extended {
                id,
                payload: &pex.encode(),
            }),
            None => Ok(()),
        }
    }

    fn say(&self, message: Message<'_>) -> Result<(), SessionError> {
        let mut out = Vec::new();
        message.encode(&mut out);
        Ok(self.outbox.push_bytes(&out)?)
    }
}

/// Whether there are more bytes. Nothing is consumed, so that it may be interrupted.
async fn wait_for_bytes(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<bool> {
    use tokio::io::AsyncBufReadExt;
    Ok(!reader.fill_buf().await?.is_empty())
}

fn pieces(torrent: &dyn Torrent) -> usize {
    let count = piece_count(torrent.total_bytes(), torrent.piece_length()).unwrap_or(0);
    usize::try_from(count).unwrap_or(0)
}

/// Twelve hexadecimal digits in the peer id of `shoal get` are the first six bytes of its taker token. Others are
/// known by address and peer id.
pub fn mark_of_peer_id(peer_id: &[u8; 20]) -> Mark {
    let digits = peer_id
        .strip_prefix(SHOAL_PEER_ID)
        .and_then(|rest| <[u8; 12]>::try_from(rest).ok());
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let prefix = digits.and_then(|digits| {
        let mut prefix = [0; 6];
        for (byte, pair) in prefix.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(prefix)
    });
    prefix.map_or(Mark::PeerId(*peer_id), Mark::TokenPrefix)
}

/// A seeder's peer id differs by torrent, so that nobody can tell which links one node serves.
fn our_peer_id(nonce: &[u8; 32], infohash: &InfoHash) -> [u8; 20] {
    let digest = blake3::keyed_hash(nonce, infohash.as_bytes());
    let mut id = *b"-SH0010-000000000000";
    for (byte, random) in id
        .iter_mut()
        .skip(SHOAL_PEER_ID.len())
        .zip(digest.as_bytes())
    {
        // Upper-case letters: no taker's digits look like this.
        *byte = b'A' + random % 26;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shoal_get_is_recognised_by_its_peer_id() {
        assert_eq!(
            mark_of_peer_id(b"-SH0010-0102030a0bff"),
            Mark::TokenPrefix([1, 2, 3, 10, 11, 255])
        );
        for other in [
            b"-SH0010-0102030a0bfx",
            b"-SH0010-+1+2+3+4+5+6",
            b"-qB4520-0102030a0bff",
        ] {
            assert_eq!(mark_of_peer_id(other), Mark::PeerId(*other));
        }
    }
}
