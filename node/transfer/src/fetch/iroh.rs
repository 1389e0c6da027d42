//! Links over iroh: an endpoint of our own, the greeting, and one stream per request.

use super::Options;
use super::pipe::BATCH_BYTES;
use super::quic::{self, Distance};
use super::source::SourceError;
use bytes::Bytes;
use iroh::endpoint::{
    ConnectOptions, Connection, PortmapperConfig, ReadError, RecvStream, presets,
};
use iroh::{Endpoint, EndpointAddr, PublicKey, RelayMode};
use shoal_protocol::hello::{ALPN, GREETING_MAX_BYTES, Hello, Welcome};
use shoal_protocol::id::{DeviceId, LinkId, TakerToken};
use shoal_protocol::password::{Challenge, Key};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Close code by which a taker says that it has everything.
const CODE_DONE: u32 = 1;
/// Reset code of a stream whose rest is not given, because a file changed or the link was stopped.
const CODE_REFUSED: u32 = 2;
/// Parts of a stream that are taken over at once.
const PARTS: usize = 64;

/// Our endpoint, made when it is first needed.
pub(crate) struct Dialer {
    endpoint: OnceCell<Endpoint>,
    bind: Vec<SocketAddr>,
    connect_timeout: Duration,
    password: Option<Key>,
}

/// Where an issuer may be reached.
#[derive(Debug, Clone)]
pub(crate) struct IrohAddress {
    /// Whom we expect there.
    pub(crate) issuer: DeviceId,
    /// Where.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// A connection that was greeted.
#[derive(Debug, Clone)]
pub(crate) struct IrohChannel {
    connection: Connection,
}

/// The answer to one request.
pub(crate) struct IrohBody {
    stream: RecvStream,
    parts: Vec<Bytes>,
}

impl Dialer {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            endpoint: OnceCell::new(),
            bind: options.iroh_bind.clone(),
            connect_timeout: options.connect_timeout,
            password: options.password.clone(),
        }
    }

    /// Connects and greets.
    ///
    /// # Errors
    /// `Broken` when nobody is there or it takes too long.
    pub(crate) async fn connect(
        &self,
        address: &IrohAddress,
        link: LinkId,
        taker: TakerToken,
    ) -> Result<(IrohChannel, Welcome), SourceError> {
        let late = |_| {
            SourceError::Broken(format!(
                "no answer within {} s",
                self.connect_timeout.as_secs()
            ))
        };
        let key = self.password.as_ref();
        let proof = key.map(|key| key.prove(&link, Challenge::IROH));
        timeout(
            self.connect_timeout,
            self.greeted(address, Hello { link, taker, proof }),
        )
        .await
        .map_err(late)?
    }

    /// Ends all connections properly, so that what was said last arrives.
    pub(crate) async fn close(&self) {
        if let Some(endpoint) = self.endpoint.get() {
            let _ = timeout(Duration::from_secs(1), endpoint.close()).await;
        }
    }

    async fn greeted(
        &self,
        address: &IrohAddress,
        hello: Hello,
    ) -> Result<(IrohChannel, Welcome), SourceError> {
        let endpoint = self.endpoint.get_or_try_init(|| self.bind()).await?;
        let id = PublicKey::from_bytes(address.issuer.as_bytes()).map_err(SourceError::broken)?;
        let target = address
            .addresses
            .iter()
            .fold(EndpointAddr::new(id), |to, at| to.with_ip_addr(*at));
        let options =
            ConnectOptions::new().with_transport_config(quic::transport(address.distance()));
        let connecting = endpoint
            .connect_with_opts(target, ALPN, options)
            .await
            .map_err(SourceError::broken)?;
        let connection = connecting.await.map_err(SourceError::broken)?;
        let (mut send, mut recv) = connection.open_bi().await.map_err(SourceError::broken)?;
        let bytes = hello.encode();
        send.write_all(&(bytes.len() as u32).to_le_bytes())
            .await
            .map_err(SourceError::broken)?;
        send.write_all(&bytes).await.map_err(SourceError::broken)?;
        let mut len = [0; 4];
        recv.read_exact(&mut len)
            .await
            .map_err(SourceError::broken)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > GREETING_MAX_BYTES {
            return Err(SourceError::Lied("its greeting is too long".into()));
        }
        let mut bytes = vec![0; len];
        recv.read_exact(&mut bytes)
            .await
            .map_err(SourceError::broken)?;
        let welcome =
            Welcome::decode(&bytes).map_err(|error| SourceError::Lied(error.to_string()))?;
        Ok((IrohChannel { connection }, welcome))
    }

    async fn bind(&self) -> Result<Endpoint, SourceError> {
        let mut builder = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_address_lookup()
            .portmapper_config(PortmapperConfig::Disabled)
            .transport_config(quic::transport(Distance::Far));
        if !self.bind.is_empty() {
            builder = builder.clear_ip_transports();
            for address in &self.bind {
                builder = builder.bind_addr(*address).map_err(SourceError::broken)?;
            }
        }
        builder.bind().await.map_err(SourceError::broken)
    }
}

impl IrohAddress {
    /// Near, if it has an address there: that path is taken then.
    fn distance(&self) -> Distance {
        let near = |at: &SocketAddr| Distance::of(at.ip()) == Distance::Near;
        match self.addresses.iter().any(near) {
            true => Distance::Near,
            false => Distance::Far,
        }
    }
}

impl IrohChannel {
    /// Over a connection that was made and greeted elsewhere.
    pub(crate) fn over(connection: Connection) -> Self {
        Self { connection }
    }

    /// Sends one request.
    pub(crate) async fn request(&self, request: &[u8]) -> Result<IrohBody, SourceError> {
        let (mut send, stream) = self
            .connection
            .open_bi()
            .await
            .map_err(SourceError::broken)?;
        send.write_all(request).await.map_err(SourceError::broken)?;
        send.finish().map_err(SourceError::broken)?;
        Ok(IrohBody {
            stream,
            parts: vec![Bytes::new(); PARTS],
        })
    }

    /// Says that everything arrived.
    pub(crate) fn done(&self) {
        self.connection.close(CODE_DONE.into(), b"done");
    }
}

impl IrohBody {
    /// Waits for more; false at the end. Safe to cancel.
    pub(crate) async fn next(&mut self, batch: &mut Vec<Bytes>) -> Result<bool, SourceError> {
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let read = self.stream.read_many_chunks(&mut self.parts);
            // What is there goes on at once; only for the first part it is worth waiting.
            let count = match bytes {
                0 => read.await,
                _ => match futures::FutureExt::now_or_never(read) {
                    Some(read) => read,
                    None => return Ok(true),
                },
            };
            let Some(count) = count.map_err(ended)? else {
                return Ok(bytes > 0);
            };
            for part in self.parts.iter_mut().take(count) {
                bytes += part.len();
                batch.push(std::mem::take(part));
            }
        }
        Ok(true)
    }
}

fn ended(error: ReadError) -> SourceError {
    match error {
        ReadError::Reset(code) if code == CODE_REFUSED.into() => SourceError::Changed,
        other => SourceError::broken(other),
    }
}
