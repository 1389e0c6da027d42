//! A websocket as iroh's relay wants it: whole binary messages in both directions.

use super::FRAME_MAX_BYTES;
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::{Sink, Stream};
use iroh_relay::ExportKeyingMaterial;
use iroh_relay::protos::streams::StreamError;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Frames of the relay protocol.
pub(super) struct Frames(WebSocket);

impl Frames {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self(socket)
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_next(cx) {
                Poll::Ready(Some(Ok(Message::Binary(frame)))) => Poll::Ready(Some(Ok(frame))),
                // Pings are answered by the websocket itself, and text says nothing here.
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_)))) => {
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Close(_))) | None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    Poll::Ready(Some(Err(StreamError::from_std(error))))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

impl Sink<Bytes> for Frames {
    type Error = StreamError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let ready = Pin::new(&mut self.0).poll_ready(cx);
        ready.map_err(StreamError::from_std)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), StreamError> {
        debug_assert!(frame.len() <= FRAME_MAX_BYTES);
        let message = Message::Binary(frame);
        let sent = Pin::new(&mut self.0).start_send(message);
        sent.map_err(StreamError::from_std)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let flushed = Pin::new(&mut self.0).poll_flush(cx);
        flushed.map_err(StreamError::from_std)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let closed = Pin::new(&mut self.0).poll_close(cx);
        closed.map_err(StreamError::from_std)
    }
}

/// The websocket does not know whether it runs in TLS; devices sign a challenge instead.
impl ExportKeyingMaterial for Frames {
    fn export_keying_material<T: AsMut<[u8]>>(
        &self,
        _output: T,
        _label: &[u8],
        _context: Option<&[u8]>,
    ) -> Option<T> {
        None
    }
}
