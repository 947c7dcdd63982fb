//! The thread that owns the blocker. It sleeps until the kernel, the clock or a call wakes it, and
//! never waits for the bus or the log.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_ipc::usb::UsbEvents;
use holdfast_ipc::{CallError, ErrorKind};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::blocker::{Blocker, Scope};
use crate::clock::{Clock, Now};
use crate::records::Records;
use crate::sysfs::Sysfs;
use crate::uevent::UeventSocket;

/// How often everything is looked at without a cause.
const ROUND: Duration = Duration::from_secs(60);
/// Longest sleep: the service manager wants to hear of the thread.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

type Job<S> = Box<dyn FnOnce(&mut Blocker<S>, &Now) -> Scope + Send>;

/// A way to the thread.
#[derive(Debug)]
pub struct Worker<S: Sysfs> {
    jobs: mpsc::Sender<Job<S>>,
    wake: Arc<OwnedFd>,
    pulse: Arc<Pulse>,
}

impl<S: Sysfs> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            wake: Arc::clone(&self.wake),
            pulse: Arc::clone(&self.pulse),
        }
    }
}

/// When the thread was seen last.
#[derive(Debug)]
struct Pulse {
    start: Instant,
    seen_ms: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen_ms.store(now, Ordering::Relaxed);
    }
}

impl<S: Sysfs + Send + 'static> Worker<S>
where
    S::Folder: Send,
{
    /// Starts the thread. Events of the kernel from before the socket was opened are made up for by
    /// its first look.
    pub fn start(
        blocker: Blocker<S>,
        uevents: UeventSocket,
        clock: Clock,
        records: Records,
        events: UsbEvents,
    ) -> io::Result<(Self, JoinHandle<io::Error>)> {
        let (jobs, queue) = mpsc::channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let pulse = Arc::new(Pulse { start: Instant::now(), seen_ms: AtomicU64::new(0) });
        let mut thread = Thread {
            blocker,
            uevents,
            clock,
            clock_moves: ClockMoves::watch()?,
            records,
            events,
            queue,
            wake: Arc::clone(&wake),
            pulse: Arc::clone(&pulse),
        };
        let thread = std::thread::Builder::new().name("usb".to_owned()).spawn(move || {
            let Err(error) = thread.run();
            error
        })?;
        Ok((Self { jobs, wake, pulse }, thread))
    }

    /// Asks the blocker something.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Blocker<S>, &Now) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        self.send(|blocker, now| (question(blocker, now), Scope::Events)).await
    }

    /// Has the blocker changed; what follows from it is done when this returns.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Blocker<S>, &Now) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let done = self.send(|blocker, now| (change(blocker, now), Scope::Events)).await??;
        // The look that follows a job comes before the next job.
        self.send(|_, _| ((), Scope::Events)).await?;
        Ok(done)
    }

    /// Has everything looked at, files too.
    pub async fn look_at_all(&self) -> Result<(), CallError> {
        self.send(|_, _| ((), Scope::Everything)).await
    }

    /// How long the thread was not seen.
    pub fn silence(&self) -> Duration {
        let seen = Duration::from_millis(self.pulse.seen_ms.load(Ordering::Relaxed));
        self.pulse.start.elapsed().saturating_sub(seen)
    }

    async fn send<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Blocker<S>, &Now) -> (T, Scope) + Send + 'static,
    ) -> Result<T, CallError> {
        let ended = || CallError::new(ErrorKind::Failed, "the daemon is ending");
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: Job<S> = Box::new(move |blocker, now| {
            let (value, scope) = job(blocker, now);
            // Who asked may have gone.
            let _ = answer.send(value);
            scope
        });
        self.jobs.send(job).map_err(|_| ended())?;
        rustix::io::write(&*self.wake, &1u64.to_ne_bytes()).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

struct Thread<S: Sysfs> {
    blocker: Blocker<S>,
    uevents: UeventSocket,
    clock: Clock,
    clock_moves: ClockMoves,
    records: Records,
    events: UsbEvents,
    queue: mpsc::Receiver<Job<S>>,
    wake: Arc<OwnedFd>,
    pulse: Arc<Pulse>,
}

impl<S: Sysfs> Thread<S> {
    /// Goes on until it cannot.
    fn run(&mut self) -> io::Result<Infallible> {
        let mut scope = Scope::Everything;
        let mut last_round = self.clock.uptime();
        loop {
            let now = self.now();
            if now.uptime.saturating_sub(last_round) >= ROUND {
                scope = Scope::Everything;
            }
            if scope == Scope::Everything {
                last_round = now.uptime;
            }
            let wait = self.blocker.reconcile(&now, scope);
            self.tell();
            self.pulse.beat();
            scope = self.sleep(wait.min(LONGEST_SLEEP))?;
        }
    }

    /// Sleeps until something happens or the time is over.
    fn sleep(&mut self, longest: Duration) -> io::Result<Scope> {
        let until = Instant::now() + longest;
        loop {
            let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now()));
            let timeout = timeout.map_err(io::Error::other)?;
            let mut fds = [
                PollFd::from_borrowed_fd(self.uevents.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.clock_moves.0.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(Scope::Events),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [uevents, wake, clock] = fds.map(|fd| !fd.revents().is_empty());
            let mut scope = None;
            if uevents && self.uevents.receive()?.is_news() {
                scope = Some(Scope::Events);
            }
            if clock {
                self.clock_moves = ClockMoves::watch()?;
                scope = Some(Scope::Everything);
            }
            if wake {
                // As many jobs as were there may be done at once: each is followed by a look.
                let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
                scope = Some(self.work(scope.unwrap_or(Scope::Events)));
            }
            if let Some(scope) = scope {
                return Ok(scope);
            }
        }
    }

    /// Does what was asked; each job but the last is followed by a look here.
    fn work(&mut self, mut scope: Scope) -> Scope {
        let mut is_first = true;
        while let Ok(job) = self.queue.try_recv() {
            let now = self.now();
            if !core::mem::take(&mut is_first) {
                self.blocker.reconcile(&now, scope);
                self.tell();
                scope = Scope::Events;
            }
            if job(&mut self.blocker, &now) == Scope::Everything {
                scope = Scope::Everything;
            }
        }
        scope
    }

    fn now(&self) -> Now {
        Now {
            uptime: self.clock.uptime(),
            local_time: self.clock.local_time(),
            may_allow: self.records.have_room(),
        }
    }

    fn tell(&mut self) {
        let news = self.blocker.take_news();
        for note in news.notes {
            self.records.write(note);
        }
        for event in news.events {
            self.events.tell(event);
        }
    }
}

/// Becomes readable when the clock is set (`timerfd_create(2)`, `TFD_TIMER_CANCEL_ON_SET`).
#[derive(Debug)]
struct ClockMoves(OwnedFd);

impl ClockMoves {
    fn watch() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        // Far away, but within what every kernel takes.
        let never = Timespec { tv_sec: i64::from(u32::MAX) * 2, tv_nsec: 0 };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: zero, it_value: never };
        let cancel = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, cancel, &setting)?;
        Ok(Self(timer))
    }
}
