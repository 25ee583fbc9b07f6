//! A stream that obeys a rule: what [`super::leash`] and [`super::stall`] have in common.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may stop a stream.
pub trait Rule: Unpin {
    /// Before something is read.
    ///
    /// # Errors
    /// Then nothing is read any more.
    fn before_read(&mut self, _cx: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Before something is written.
    ///
    /// # Errors
    /// Then nothing is written any more.
    fn before_write(&mut self, _cx: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }

    /// What the stream said to a write, before it is passed on.
    fn after_write(
        &mut self,
        _cx: &mut Context<'_>,
        said: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        said
    }
}

/// A stream and the rule over it.
pub struct GuardedStream<S, R> {
    stream: S,
    rule: R,
}

impl<S, R> GuardedStream<S, R> {
    /// Puts a stream under a rule.
    pub fn by(rule: R, stream: S) -> Self {
        Self { stream, rule }
    }
}

impl<S: AsyncRead + Unpin, R: Rule> AsyncRead for GuardedStream<S, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.rule.before_read(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin, R: Rule> AsyncWrite for GuardedStream<S, R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.rule.before_write(cx)?;
        let said = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.rule.after_write(cx, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.rule.before_write(cx)?;
        let said = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.rule.after_write(cx, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
