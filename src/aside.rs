//! Work that may hang, as on a network's file system: it is done aside, in a thread that is left
//! behind then.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// In boxes, since the standard library compiles threads and channels anew for each type, in five
/// kilobytes.
type Boxed = Box<dyn Any + Send>;
type Work = dyn FnOnce(&dyn Fn(Boxed) -> bool) + Send;

/// What is found aside, as it is found.
pub struct Found<T>(Receiver<Boxed>, PhantomData<T>);

/// Begins to do something aside. `work` is given what sends, and tells whether anybody still waits.
/// Where no thread can be had, nothing is found.
pub fn aside<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn(T) -> bool) + Send + 'static,
) -> Found<T> {
    Found(start(Box::new(|send| work(&|found| send(Box::new(found))))), PhantomData)
}

fn start(work: Box<Work>) -> Receiver<Boxed> {
    let (sender, receiver) = mpsc::channel();
    // `thread::spawn` would panic.
    let _ = std::thread::Builder::new().spawn(move || work(&|found| sender.send(found).is_ok()));
    receiver
}

impl<T: 'static> Found<T> {
    /// The next, if it is found in so much time.
    ///
    /// # Errors
    /// It is not, or this was all.
    pub fn next(&self, wait: Duration) -> Result<T, RecvTimeoutError> {
        self.0.recv_timeout(wait).map(opened)
    }

    /// What was found by now.
    pub fn by_now(&self) -> impl Iterator<Item = T> {
        self.0.try_iter().map(opened)
    }
}

fn opened<T: 'static>(found: Boxed) -> T {
    *found.downcast().expect("what was sent")
}
