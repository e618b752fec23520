//! Accepted connections, with who is at the other end.
//!
//! Every connection is accepted at once, and stands in a [`Lobby`] until it has shown a
//! certificate of the cluster: of bounded size, with deadlines, and with the strangers of one
//! address apart from those of others. Members have places of their own, so that no number of
//! strangers keeps them out.

use super::handler::Handler;
use super::lobby::{Activity, Leave, Lobby, Seat};
use super::{ClusterId, Holder, tls};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// The first byte is here after this, or the connection is somebody's who looks for open ports.
const SILENCE: Duration = Duration::from_secs(5);
/// A handshake that takes longer is of a lost machine.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A stranger who is through with that and asks nothing leaves after this.
const IDLE: Duration = Duration::from_secs(10);
/// Strangers altogether, and those of one address.
const STRANGERS: usize = 512;
const STRANGERS_OF_ONE: usize = 128;
/// Connections of one member: it makes one for each request that it sends beside others.
const OF_ONE_MEMBER: usize = 256;
/// After the machine ran out of file descriptors, until it is tried again.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct RemoteEnd {
    pub(super) address: SocketAddr,
    /// `None` is a stranger.
    pub(super) holder: Option<Holder>,
    /// Where the connection stands among others.
    pub(super) seat: Arc<Seat>,
}

/// A connection whose handshake is done.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: RemoteEnd,
    leave: Leave,
    /// Of a stranger, until when it may be idle.
    idle: Option<Pin<Box<Sleep>>>,
}

/// Where accepted connections go.
pub(super) struct Doors {
    pub(super) members: mpsc::Sender<io::Result<Connection>>,
    pub(super) strangers: mpsc::Sender<io::Result<Connection>>,
}

pub(super) struct Entrance {
    acceptor: TlsAcceptor,
    cluster: ClusterId,
    handler: Arc<dyn Handler>,
    doors: Doors,
    lobby: Arc<Lobby<IpAddr>>,
    members: Arc<Lobby<Holder>>,
}

impl Entrance {
    pub(super) fn new(
        acceptor: TlsAcceptor,
        cluster: ClusterId,
        handler: Arc<dyn Handler>,
        doors: Doors,
    ) -> Arc<Self> {
        Arc::new(Self {
            acceptor,
            cluster,
            handler,
            doors,
            lobby: Lobby::new(STRANGERS, STRANGERS_OF_ONE),
            members: Lobby::new(usize::MAX, OF_ONE_MEMBER),
        })
    }

    /// Accepts connections until nobody wants them any more.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, address) = tokio::select! {
                next = listener.accept() => match next {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(EXHAUSTED).await;
                        continue;
                    }
                },
                () = self.doors.members.closed() => return,
            };
            let of = neighbourhood(address.ip());
            let (seat, leave) = self.lobby.enter(of, Activity::Silent);
            tokio::spawn(self.clone().receive(stream, address, seat, leave));
        }
    }

    /// One that was accepted, until it stands before its door.
    async fn receive(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        seat: Arc<Seat>,
        mut leave: Leave,
    ) {
        let greeted = tokio::select! {
            greeted = self.greet(stream, &seat) => greeted,
            () = &mut leave => Err("others came, and it said nothing".to_owned()),
        };
        let (stream, holder) = match greeted {
            Ok(greeted) => greeted,
            Err(why) => return tracing::warn!(%address, why, "refused a connection"),
        };
        seat.reach(Activity::Idle);
        let member = holder.filter(|holder| self.handler.welcomes(holder.id()));
        let (door, (seat, leave), idle) = match member {
            Some(holder) => {
                let place = self.members.enter(holder, Activity::Idle);
                (&self.doors.members, place, None)
            }
            None => {
                let idle = Box::pin(tokio::time::sleep(IDLE));
                (&self.doors.strangers, (seat, leave), Some(idle))
            }
        };
        let peer = RemoteEnd {
            address,
            holder,
            seat,
        };
        let connection = Connection {
            stream,
            peer,
            leave,
            idle,
        };
        // The server may be gone.
        drop(door.send(Ok(connection)).await);
    }

    async fn greet(
        &self,
        stream: TcpStream,
        seat: &Seat,
    ) -> Result<(TlsStream<TcpStream>, Option<Holder>), String> {
        let text = |error: io::Error| error.to_string();
        // Messages are small and answers are waited for.
        stream.set_nodelay(true).map_err(text)?;
        let heard = tokio::time::timeout(SILENCE, stream.readable());
        let heard = heard.await.map_err(|_| "it said nothing".to_owned())?;
        heard.map_err(text)?;
        seat.reach(Activity::Shaking);
        let stream = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream))
            .await
            .map_err(|_| "no TLS handshake in time".to_owned())?
            .map_err(text)?;
        let shown = stream.get_ref().1.peer_certificates();
        let holder = tls::peer(shown, self.cluster).map_err(|error| error.to_string())?;
        Ok((stream, holder))
    }
}

/// Whose an address is: whoever has one of IPv6 has all of its network.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Connection {
    /// Whether it has to end: its place is another's, or it is a stranger's that asks nothing.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if Pin::new(&mut self.leave).poll(cx).is_ready() {
            return true;
        }
        let Some(idle) = &mut self.idle else {
            return false;
        };
        while idle.as_mut().poll(cx).is_ready() {
            if self.peer.seat.is_idle() {
                return true;
            }
            idle.as_mut().reset(Instant::now() + IDLE);
        }
        false
    }
}

impl Connected for Connection {
    type ConnectInfo = RemoteEnd;

    fn connect_info(&self) -> RemoteEnd {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
