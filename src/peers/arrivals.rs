//! The connections that come in at a server. Whoever reaches the port can connect, so a connection has a short time in which to show the
//! token, and there is a most of them: where there are more, the oldest of those that have not shown it ends.

use anyhow::{Context as _, Result};
use futures::Stream;
use futures::stream::unfold;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tonic::Extensions;
use tonic::transport::server::{Connected, TlsConnectInfo};

/// How long a connection may take until the token was shown, from its first byte on.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections at once.
const MOST: usize = 256;
/// How long nobody is let in after that failed, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the token was shown on a connection.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<AtomicBool>);

/// Notes that the connection of a request has shown the token, so that it may stay.
pub fn admit(request: &Extensions) {
    let plain = request.get::<Admission>();
    let admission = plain.or_else(|| request.get::<TlsConnectInfo<Admission>>().map(TlsConnectInfo::get_ref));
    if let Some(admission) = admission {
        admission.0.store(true, Relaxed);
    }
}

/// Where a server listens.
pub struct Arrivals {
    listener: TcpListener,
    patience: Duration,
    most: usize,
    /// The connections that there are, oldest first.
    here: VecDeque<Arrived>,
}

/// What is kept of a connection while it is there.
struct Arrived {
    admission: Weak<AtomicBool>,
    /// The connection ends when this is dropped, unless it was admitted.
    _stay: oneshot::Sender<()>,
}

impl Arrivals {
    /// Listens at an address; port 0: any free one.
    ///
    /// # Errors
    /// When that cannot be.
    pub async fn at(bind: SocketAddr) -> Result<Arrivals> {
        let listener = TcpListener::bind(bind).await.with_context(|| format!("cannot listen at {bind}"))?;
        Ok(Arrivals { listener, patience: PATIENCE, most: MOST, here: VecDeque::new() })
    }

    /// The address at which it listens.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// All connections, one after the other. It never ends, and no error is in it.
    pub fn stream(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        unfold(self, async |mut arrivals| Some((Ok(arrivals.next().await), arrivals)))
    }

    async fn next(&mut self) -> Connection {
        loop {
            let accepted = self.listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
            match accepted {
                Ok(stream) => {
                    if let Some(connection) = self.take(stream) {
                        return connection;
                    }
                }
                Err(error) => {
                    log::warn!("a connection cannot be taken: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes a connection; `None` where there are as many as may be, which all have shown the token.
    fn take(&mut self, stream: TcpStream) -> Option<Connection> {
        self.here.retain(|arrived| arrived.admission.strong_count() > 0);
        if self.here.len() >= self.most {
            let stranger = |arrived: &Arrived| arrived.admission.upgrade().is_none_or(|admitted| !admitted.load(Relaxed));
            let oldest = self.here.iter().position(stranger)?;
            self.here.remove(oldest);
        }
        let (stay, leave) = oneshot::channel();
        let admission = Admission::default();
        self.here.push_back(Arrived { admission: Arc::downgrade(&admission.0), _stay: stay });
        Some(Connection { stream, admission, patience: Box::pin(sleep(self.patience)), leave, over: false })
    }
}

/// A connection, which ends when it has not shown the token in time.
pub struct Connection {
    stream: TcpStream,
    admission: Admission,
    patience: Pin<Box<Sleep>>,
    leave: oneshot::Receiver<()>,
    over: bool,
}

impl Connection {
    /// An error once it must end. Else the task is waked when that time comes.
    fn stays(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        if self.admission.0.load(Relaxed) {
            return Ok(());
        }
        self.over = self.over || self.patience.as_mut().poll(task).is_ready() || Pin::new(&mut self.leave).poll(task).is_ready();
        if self.over { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stays(task)?;
        Pin::new(&mut self.stream).poll_read(task, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stays(task)?;
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stays(task)?;
        Pin::new(&mut self.stream).poll_write_vectored(task, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

impl Connected for Connection {
    type ConnectInfo = Admission;

    fn connect_info(&self) -> Admission {
        self.admission.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    async fn arrivals(patience: Duration, most: usize) -> (Arrivals, SocketAddr) {
        let arrivals = Arrivals::at("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = arrivals.address().unwrap();
        (Arrivals { patience, most, ..arrivals }, at)
    }

    /// What a read of one byte comes to: that byte, or the kind of the error.
    async fn byte(connection: &mut Connection) -> Result<u8, io::ErrorKind> {
        connection.read_u8().await.map_err(|error| error.kind())
    }

    #[test]
    fn who_says_nothing_must_go_and_who_was_admitted_stays() {
        run(async {
            let (mut arrivals, at) = arrivals(Duration::from_millis(50), 8).await;
            let _silent = TcpStream::connect(at).await.unwrap();
            let mut silent = arrivals.next().await;
            let mut known = TcpStream::connect(at).await.unwrap();
            let mut admitted = arrivals.next().await;
            let mut request = Extensions::new();
            request.insert(admitted.connect_info());
            admit(&request);
            assert_eq!(byte(&mut silent).await, Err(io::ErrorKind::TimedOut));
            assert_eq!(silent.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            sleep(Duration::from_millis(100)).await;
            known.write_u8(7).await.unwrap();
            assert_eq!(byte(&mut admitted).await, Ok(7));
            // That nobody was admitted is no fault of a request without a connection.
            admit(&Extensions::new());
        });
    }

    #[test]
    fn the_oldest_stranger_makes_room() {
        run(async {
            let (mut arrivals, at) = arrivals(Duration::from_secs(100), 2).await;
            let mut others = Vec::new();
            let mut connections = Vec::new();
            for number in 0..3 {
                others.push(TcpStream::connect(at).await.unwrap());
                connections.push(arrivals.next().await);
                if number == 0 {
                    connections[0].admission.0.store(true, Relaxed);
                }
            }
            assert_eq!(byte(&mut connections[1]).await, Err(io::ErrorKind::TimedOut), "the second one was the oldest stranger");
            for number in [0, 2] {
                others[number].write_u8(number as u8).await.unwrap();
                assert_eq!(byte(&mut connections[number]).await, Ok(number as u8));
            }
            // With the token all of them stay, and the next one is not taken until one is gone.
            connections[2].admission.0.store(true, Relaxed);
            drop(connections.remove(1));
            let mut fourth = TcpStream::connect(at).await.unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(50), arrivals.next()).await.is_err());
            assert_eq!(fourth.read(&mut [0]).await.unwrap_or(0), 0, "its connection was closed");
            drop(connections.pop());
            let _fifth = TcpStream::connect(at).await.unwrap();
            tokio::time::timeout(Duration::from_secs(5), arrivals.next()).await.unwrap();
        });
    }
}
