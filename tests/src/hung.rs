//! One thread of another process that hangs, while the others go on: a tracer stops it.

use std::fs;
use std::marker::PhantomData;
use std::ptr::null_mut;

use anyhow::{Context as _, Result};
use nix::errno::Errno;

/// A thread that is stopped until this value goes out of scope, on the thread that made it: that is the tracer.
#[derive(Debug)]
pub struct HungThread {
    id: libc::pid_t,
    on_this_thread: PhantomData<*const ()>,
}

impl HungThread {
    /// Stops the thread with this name.
    ///
    /// # Errors
    /// When the process has no such thread, or the kernel refuses.
    pub fn stop(process: u32, name: &str) -> Result<Self> {
        let id = find(process, name).with_context(|| format!("process {process} has no thread {name}"))?;
        trace(libc::PTRACE_SEIZE, id)?;
        let hung = Self { id, on_this_thread: PhantomData };
        trace(libc::PTRACE_INTERRUPT, id)?;
        // SAFETY: the kernel writes no status where none is asked for.
        Errno::result(unsafe { libc::waitpid(id, null_mut(), libc::__WALL) })
            .context("waiting for the stop")?;
        Ok(hung)
    }
}

impl Drop for HungThread {
    fn drop(&mut self) {
        // It may have ended with its process.
        let _ended = trace(libc::PTRACE_DETACH, self.id);
    }
}

fn find(process: u32, name: &str) -> Option<libc::pid_t> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    tasks.into_iter().find(is_it)?.file_name().to_str()?.parse().ok()
}

fn trace(request: libc::c_uint, thread: libc::pid_t) -> Result<()> {
    let none = null_mut::<libc::c_void>();
    // SAFETY: these requests read and write no memory of ours.
    let outcome = unsafe { libc::ptrace(request, thread, none, none) };
    Errno::result(outcome)
        .map(drop)
        .with_context(|| format!("ptrace request {request:#x} of thread {thread}"))
}
