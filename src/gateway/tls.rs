//! The first bytes of a TCP connection that should be TLS.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that connects and does not finish its greeting is cut off.
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// First byte of every TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// For whoever speaks plain HTTP to us; nothing that they sent is looked at.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
{\"code\":\"request.plain_http\",\"title\":\"this port speaks TLS\",\"hint\":\"use https:// in the address\",\"status\":400}";

/// Greets.
///
/// # Errors
/// When the client goes away, is too slow, or speaks something else.
pub async fn greet(acceptor: &TlsAcceptor, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let greeting = async {
        let mut first = [0_u8; 1];
        stream.peek(&mut first).await?;
        if first[0] != HANDSHAKE {
            stream.write_all(SPEAK_TLS).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"));
        }
        acceptor.accept(stream).await
    };
    timeout(GREETING_WITHIN, greeting).await.map_err(|_| io::ErrorKind::TimedOut)?
}
