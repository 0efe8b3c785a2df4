//! The simulated network as tonic wants it, and frames for the calls of clients.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Uri;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use turmoil::net::TcpStream;

pub const PEER_PORT: u16 = 7000;
pub const CLIENT_PORT: u16 = 8000;
const FRAME_BYTES_MAX: usize = 16 << 20;

/// A connection on the side of the server.
pub struct Accepted(pub TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connects when first used, as the server's `connect_lazy` does.
pub fn channel(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(|uri: Uri| async move {
        let host = uri.host().unwrap_or_default().to_owned();
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(PEER_PORT))).await?;
        Ok::<_, io::Error>(TokioIo::new(stream))
    }))
}

/// What a client asks a node.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    /// An encoded `op::Op`; a read has none.
    #[prost(bytes = "bytes", tag = "2")]
    pub op: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub op_id: Bytes,
    /// The workflow whose signals are read.
    #[prost(string, tag = "4")]
    pub workflow_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reply {
    #[prost(bool, tag = "1")]
    pub done: bool,
    /// Not done, and this node may know more.
    #[prost(uint64, tag = "2")]
    pub leader: u64,
    /// An encoded `op::Answer`.
    #[prost(bytes = "bytes", tag = "3")]
    pub answer: Bytes,
    #[prost(string, repeated, tag = "4")]
    pub signals: Vec<String>,
    /// Why it is not done.
    #[prost(string, tag = "5")]
    pub why: String,
}

pub async fn send(stream: &mut TcpStream, message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
    frame.extend(bytes);
    stream.write_all(&frame).await
}

pub async fn receive<M: Message + Default>(stream: &mut TcpStream) -> io::Result<M> {
    let length = stream.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("the frame is too big"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    M::decode(bytes.as_slice()).map_err(io::Error::other)
}
