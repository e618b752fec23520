//! Who is connected, within bounds. A connection that comes when there is no place takes that of
//! another one of its own kind: who has not said anything yet goes first, then who is idle, the
//! longest first. So nobody who waits keeps others out, and who works is not disturbed by who
//! waits.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// What a connection does. Whoever does less leaves first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Activity {
    /// Nothing was heard of it.
    Silent,
    /// It is known, and asks nothing.
    Idle,
    /// It is in its handshake.
    Shaking,
    /// It is being answered.
    Busy,
}

/// Places for connections, so many altogether and so many for each `K`.
pub(super) struct Lobby<K> {
    most: usize,
    most_of_one: usize,
    places: Mutex<Places<K>>,
}

struct Places<K> {
    /// In order of arrival.
    taken: BTreeMap<u64, Place<K>>,
    next: u64,
}

struct Place<K> {
    of: K,
    stage: Activity,
    /// Calls that are being answered.
    calls: usize,
    /// Dropped to have it leave.
    _stay: oneshot::Sender<()>,
}

/// A place, while its connection lasts.
pub(super) struct Seat {
    number: u64,
    lobby: Arc<dyn Usher>,
}

/// Resolves when a connection has to leave, as often as it is asked.
pub(super) struct Leave(Option<oneshot::Receiver<()>>);

/// What a seat asks of its lobby, whatever it counts by.
trait Usher: Send + Sync {
    fn change(&self, number: u64, change: &dyn Fn(&mut Activity, &mut usize));
    fn stage(&self, number: u64) -> Option<Activity>;
    fn free(&self, number: u64);
}

impl<K: PartialEq + Send + 'static> Lobby<K> {
    pub(super) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            places: Mutex::new(Places {
                taken: BTreeMap::new(),
                next: 0,
            }),
        })
    }

    /// A place, for which another connection may have to leave.
    pub(super) fn enter(self: &Arc<Self>, of: K, stage: Activity) -> (Arc<Seat>, Leave) {
        let mut places = self.places.lock();
        let own = places.taken.values().filter(|place| place.of == of).count();
        if own >= self.most_of_one {
            places.make_room(|place| place.of == of);
        } else if places.taken.len() >= self.most {
            places.make_room(|_| true);
        }
        let number = places.next;
        places.next += 1;
        let (stay, leave) = oneshot::channel();
        let place = Place {
            of,
            stage,
            calls: 0,
            _stay: stay,
        };
        places.taken.insert(number, place);
        let lobby = self.clone();
        (Arc::new(Seat { number, lobby }), Leave(Some(leave)))
    }
}

impl<K> Places<K> {
    fn make_room(&mut self, may_leave: impl Fn(&Place<K>) -> bool) {
        let candidates = self.taken.iter().filter(|(_, place)| may_leave(place));
        let first = candidates.min_by_key(|(number, place)| (place.stage, **number));
        if let Some((&number, _)) = first {
            self.taken.remove(&number);
        }
    }
}

impl<K: Send> Usher for Lobby<K> {
    fn change(&self, number: u64, change: &dyn Fn(&mut Activity, &mut usize)) {
        if let Some(place) = self.places.lock().taken.get_mut(&number) {
            change(&mut place.stage, &mut place.calls);
        }
    }

    fn stage(&self, number: u64) -> Option<Activity> {
        let places = self.places.lock();
        places.taken.get(&number).map(|place| place.stage)
    }

    fn free(&self, number: u64) {
        self.places.lock().taken.remove(&number);
    }
}

impl Seat {
    pub(super) fn reach(&self, reached: Activity) {
        self.lobby.change(self.number, &|stage, _| *stage = reached);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lobby.stage(self.number) != Some(Activity::Busy)
    }

    /// It is being answered until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.lobby.change(self.number, &|stage, calls| {
            *calls += 1;
            *stage = Activity::Busy;
        });
        Busy(self.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.free(self.number);
    }
}

/// A call that is being answered.
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lobby.change(self.0.number, &|stage, calls| {
            *calls -= 1;
            if *calls == 0 {
                *stage = Activity::Idle;
            }
        });
    }
}

impl Future for Leave {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stay) = &mut self.0 {
            // It is never sent anything: its sender goes.
            let _gone = std::task::ready!(Pin::new(stay).poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn has_to_leave(leave: &mut Leave) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(leave).poll(&mut cx).is_ready()
    }

    /// Which of these have to leave.
    fn leaving(all: &mut [(Arc<Seat>, Leave)]) -> Vec<usize> {
        let all = all.iter_mut().enumerate();
        let left = all.filter_map(|(at, (_, leave))| has_to_leave(leave).then_some(at));
        left.collect()
    }

    #[test]
    fn who_is_silent_leaves_before_who_works() {
        let lobby = Lobby::new(3, 3);
        let mut all: Vec<_> = (0..3).map(|_| lobby.enter('a', Activity::Silent)).collect();
        all[0].0.reach(Activity::Shaking);
        all.push(lobby.enter('b', Activity::Silent));
        assert_eq!(leaving(&mut all), [1]);
        let busy = all[2].0.begin();
        all.push(lobby.enter('b', Activity::Silent));
        assert_eq!(leaving(&mut all), [1, 3]);
        drop(busy);
        all[4].0.reach(Activity::Shaking);
        all.push(lobby.enter('b', Activity::Silent));
        assert_eq!(leaving(&mut all), [1, 2, 3]);
    }

    #[test]
    fn who_has_many_makes_room_for_its_own() {
        let lobby = Lobby::new(4, 2);
        let mut all = vec![lobby.enter('b', Activity::Silent)];
        all.extend((0..4).map(|_| lobby.enter('a', Activity::Silent)));
        assert_eq!(leaving(&mut all), [1, 2]);
    }

    #[test]
    fn who_left_has_no_place() {
        let lobby = Lobby::new(2, 2);
        for _ in 0..10 {
            drop(lobby.enter('a', Activity::Silent));
        }
        let mut all: Vec<_> = (0..2).map(|_| lobby.enter('a', Activity::Silent)).collect();
        assert!(leaving(&mut all).is_empty());
        assert!(lobby.places.lock().taken.len() == 2);
    }
}
