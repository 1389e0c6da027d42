//! Files read and hashed by several threads, each looked at before and after.

use super::look::stamp_of;
use super::root::Replica;
use crate::entry::ProblemKind;
use crate::hash::{Progress, holes};
use shoal_jail::JailErrorKind;
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::Stamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// What is in a hole.
static ZEROS: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];
/// The coarsest tick of a kernel's file clock (CONFIG_HZ=100), doubled: a file that is younger could change
/// again and keep its times.
const FILE_CLOCK_TICK: Duration = Duration::from_millis(20);
/// How often a file that changes while it is hashed is tried before it is left for the next look.
const TRIES: u32 = 3;
/// Files and bytes that are hashed without starting threads: those of a few saves.
const ALONE_FILES: usize = 16;
const ALONE_BYTES: u64 = 1 << 20;
/// Files that wait for a thread at most.
const QUEUE_MAX_FILES: usize = 1024;

/// A file to hash, and where the answer belongs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: RelPath,
    pub(super) size_bytes: u64,
    pub(super) page: u64,
    pub(super) index: usize,
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) job: Job,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    Content(Stamp, ContentHash),
    Problem(ProblemKind),
    Gone,
}

/// Jobs on the way to the threads, and answers on the way back.
pub(super) struct Hashing<'scope, 'env> {
    scope: &'scope std::thread::Scope<'scope, 'env>,
    reader: &'env Reader<'env>,
    jobs: &'env Mutex<Option<Receiver<Job>>>,
    threads: usize,
    waiting: Vec<Job>,
    waiting_bytes: u64,
    /// Jobs that threads have and that were not answered yet.
    under_way: usize,
    queue: Option<SyncSender<Job>>,
    answers: (Sender<Hashed>, Receiver<Hashed>),
    buffer: Vec<u8>,
}

impl<'scope, 'env> Hashing<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope std::thread::Scope<'scope, 'env>,
        reader: &'env Reader<'env>,
        jobs: &'env Mutex<Option<Receiver<Job>>>,
        threads: usize,
    ) -> Self {
        Self {
            scope,
            reader,
            jobs,
            threads,
            waiting: Vec::new(),
            waiting_bytes: 0,
            under_way: 0,
            queue: None,
            answers: mpsc::channel(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, job: Job) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(job.size_bytes);
        self.waiting.push(job);
        let few = self.waiting.len() <= ALONE_FILES && self.waiting_bytes <= ALONE_BYTES;
        if self.threads > 1 && (self.queue.is_some() || !few) {
            self.hand_out();
        }
    }

    /// An answer that is there, without waiting.
    pub(super) fn ready(&mut self) -> Option<Hashed> {
        let answer = self.answers.1.try_recv().ok()?;
        self.under_way = self.under_way.saturating_sub(1);
        Some(answer)
    }

    /// The next answer; none when nothing is left to hash.
    pub(super) fn next(&mut self) -> Option<Hashed> {
        if let Some(job) = self.waiting.pop() {
            let answer = self.reader.hash(&job, &mut self.buffer);
            return Some(Hashed { job, answer });
        }
        if self.under_way == 0 {
            return None;
        }
        // The threads hold senders as long as there is a queue; so this ends.
        let answer = self.answers.1.recv().ok()?;
        self.under_way = self.under_way.saturating_sub(1);
        Some(answer)
    }

    fn hand_out(&mut self) {
        let queue = match &self.queue {
            Some(queue) => queue.clone(),
            None => match self.start() {
                Some(queue) => queue,
                None => return,
            },
        };
        for job in self.waiting.drain(..) {
            // Threads go only after the queue does.
            if queue.send(job).is_ok() {
                self.under_way += 1;
            }
        }
        self.waiting_bytes = 0;
    }

    /// Starts the threads; without a single one, everything is hashed on this one.
    fn start(&mut self) -> Option<SyncSender<Job>> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_MAX_FILES);
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(jobs);
        let mut started = 0;
        for number in 0..self.threads {
            let (jobs, reader, answers) = (self.jobs, self.reader, self.answers.0.clone());
            let thread = std::thread::Builder::new().name(format!("scan-{number}"));
            let spawned = thread.spawn_scoped(self.scope, move || {
                let mut buffer = Vec::new();
                while let Some(job) = next(jobs) {
                    let answer = reader.hash(&job, &mut buffer);
                    if answers.send(Hashed { job, answer }).is_err() {
                        return;
                    }
                }
            });
            started += usize::from(spawned.is_ok());
        }
        if started == 0 {
            self.threads = 1;
            return None;
        }
        self.queue = Some(queue.clone());
        Some(queue)
    }
}

fn next(jobs: &Mutex<Option<Receiver<Job>>>) -> Option<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.as_ref()?.recv().ok()
}

/// What a thread needs to hash.
pub(super) struct Reader<'a> {
    pub(super) replica: &'a Replica,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
}

impl Reader<'_> {
    fn hash(&self, job: &Job, buffer: &mut Vec<u8>) -> Answer {
        for _ in 0..TRIES {
            match self.attempt(job, buffer) {
                Ok(Some(answer)) => return answer,
                Ok(None) => {}
                Err(error) => return Answer::Problem(ProblemKind::Io(error.to_string())),
            }
        }
        Answer::Problem(ProblemKind::Changing)
    }

    /// One reading; none if the file changed meanwhile.
    fn attempt(&self, job: &Job, buffer: &mut Vec<u8>) -> io::Result<Option<Answer>> {
        let file = match self.replica.jail().open_read(job.path.as_str()) {
            Ok(file) => file,
            Err(error) => {
                return Ok(Some(match error.kind {
                    JailErrorKind::NotFound => Answer::Gone,
                    JailErrorKind::Permission => Answer::Problem(ProblemKind::Unreadable),
                    JailErrorKind::Escape(_) | JailErrorKind::WrongKind => {
                        Answer::Problem(ProblemKind::Changing)
                    }
                    other => Answer::Problem(ProblemKind::Io(other.to_string())),
                }));
            }
        };
        let Some(before) = self.settled(&file)? else {
            return Ok(None);
        };
        let content = match self.read(&file, before.size_bytes, buffer) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(Some(Answer::Problem(ProblemKind::Changing))),
            // Somebody cut it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let unchanged = stamp_of(&file)? == before;
        Ok(unchanged.then_some(Answer::Content(before, content)))
    }

    /// The stamp of a file that is old enough not to change again and look the same. None if it is still
    /// being written after a tick's wait.
    fn settled(&self, file: &File) -> io::Result<Option<Stamp>> {
        let step = Duration::from_nanos(self.replica.capabilities().mtime_step_ns);
        let tick = FILE_CLOCK_TICK.max(step);
        let stamp = stamp_of(file)?;
        let Some(wait) = wait_for(&stamp, tick) else {
            return Ok(Some(stamp));
        };
        std::thread::sleep(wait);
        let stamp = stamp_of(file)?;
        Ok(wait_for(&stamp, tick).is_none().then_some(stamp))
    }

    fn read(
        &self,
        file: &File,
        size_bytes: u64,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<ContentHash>> {
        buffer.resize(BUFFER_BYTES, 0);
        let has_holes = holes::are_known(file, size_bytes);
        let mut hasher = blake3::Hasher::new();
        let mut position = 0;
        while position < size_bytes {
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let len = (size_bytes - position).min(BUFFER_BYTES as u64);
            if has_holes && holes::covers(file, position..position + len) {
                hasher.update(ZEROS.get(..len as usize).unwrap_or_default());
            } else {
                let block = buffer.get_mut(..len as usize).unwrap_or_default();
                file.read_exact_at(block, position)?;
                hasher.update(block);
            }
            position += len;
            self.progress.advance(len, 0);
        }
        self.progress.advance(0, 1);
        Ok(Some(ContentHash(*hasher.finalize().as_bytes())))
    }
}

/// How long until a file is older than a tick of the file clock.
fn wait_for(stamp: &Stamp, tick: Duration) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let changed = u64::try_from(stamp.ctime_ns.max(stamp.mtime_ns)).ok()?;
    // A time in the future is made up, or the clock was set back: no waiting helps.
    let age = now.checked_sub(Duration::from_nanos(changed))?;
    tick.checked_sub(age).filter(|wait| !wait.is_zero())
}

/// The hash of so many bytes of a file.
pub(super) fn hash(file: &File, size_bytes: u64) -> io::Result<ContentHash> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    while position < size_bytes {
        let most = (size_bytes - position).min(buffer.len() as u64) as usize;
        let block = buffer.get_mut(..most).unwrap_or_default();
        file.read_exact_at(block, position)?;
        hasher.update(block);
        position += most as u64;
    }
    Ok(ContentHash(*hasher.finalize().as_bytes()))
}
