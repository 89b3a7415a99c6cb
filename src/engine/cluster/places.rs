//! The configuration of the model as text that goes to the machines of a cluster.

use crate::exec::Ran;
use crate::fate::{Elsewhere, StaysOnDisk};
use crate::model::{Config, Notes, Open, Place, Present, Requests};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The fields of [`Config`] in their order.
#[derive(Deserialize, Serialize)]
struct Written {
    rules: Vec<(Vec<u8>, u8)>,
    mounts: Vec<Vec<u8>>,
    kinds: Vec<(Vec<u8>, Option<String>)>,
    memory: Vec<(Vec<u8>, Option<String>)>,
    present: Vec<Process>,
    notes: u8,
    requests: u8,
    faults: bool,
    cache: bool,
}

/// The fields of [`Present`] in their order.
#[derive(Deserialize, Serialize)]
struct Process {
    pid: i64,
    uid: Option<i64>,
    names: [Option<Vec<u8>>; 6],
    rank: Option<i64>,
    open: Vec<Descriptor>,
}

/// The path of an [`Open`], its numbers in their order, and its flag.
#[derive(Deserialize, Serialize)]
struct Descriptor(Vec<u8>, [i64; 8], bool);

const PLACES: [Place; 3] = [Place::Keep, Place::Pseudo, Place::Ignore];
const NOTES: [Notes; 2] = [Notes::Machine, Notes::Process];
const REQUESTS: [Requests; 3] = [Requests::All, Requests::Submitted, Requests::None];

fn number<T: PartialEq>(all: &[T], one: &T) -> Result<u8> {
    let at = all.iter().position(|known| known == one).context("there is no number for a word of the configuration")?;
    Ok(u8::try_from(at)?)
}

fn numbered<T: Copy>(all: &[T], number: u8) -> Result<T> {
    all.get(usize::from(number)).copied().with_context(|| format!("there is no word {number}"))
}

/// The configuration as JSON.
///
/// # Errors
/// When it cannot be written so.
pub fn write(config: &Config) -> Result<Vec<u8>> {
    let Config { rules, mounts, kinds, memory, present, notes, requests, faults, cache } = config;
    let process = |process: &Present| {
        let Present { pid, comm, uid, ran, cwd, root, open } = process;
        let Ran { command_line, user: _, cgroup, rank, job } = ran;
        let [comm, cwd, root] = [comm, cwd, root].map(|name| name.as_deref().map(<[u8]>::to_vec));
        let names = [comm, cwd, root, command_line.clone(), cgroup.clone(), job.clone()];
        let descriptor = |open: &Open| {
            let Open { fd, ofd, path, flags, cloexec, pos, dev, ino, st_mode, size } = open;
            Descriptor(path.to_vec(), [*fd, *ofd, *flags, *pos, *dev, *ino, *st_mode, *size], *cloexec)
        };
        Process { pid: *pid, uid: *uid, names, rank: *rank, open: open.iter().map(descriptor).collect() }
    };
    Ok(serde_json::to_vec(&Written {
        rules: rules.iter().map(|(path, place)| Ok((path.clone(), number(&PLACES, place)?))).collect::<Result<_>>()?,
        mounts: mounts.clone(),
        kinds: kinds.iter().map(|(path, kind)| (path.clone(), kind.map(|kind| kind.name().to_owned()))).collect(),
        memory: memory.iter().map(|(path, why)| (path.clone(), why.map(|why| why.name().to_owned()))).collect(),
        present: present.iter().map(process).collect(),
        notes: number(&NOTES, notes)?,
        requests: number(&REQUESTS, requests)?,
        faults: *faults,
        cache: *cache,
    })?)
}

/// The configuration that [`write`] has written.
///
/// # Errors
/// When it is not that.
pub fn read(text: &[u8]) -> Result<Config> {
    let written: Written = serde_json::from_slice(text)?;
    let word = |word: Option<String>| match word.as_deref() {
        None => Ok(None),
        Some(word) => Elsewhere::parse(word).map(Some).with_context(|| format!("there is no word {word:?}")),
    };
    let why = |word: Option<String>| match word.as_deref() {
        None => Ok(None),
        Some(word) => StaysOnDisk::parse(word).map(Some).with_context(|| format!("there is no word {word:?}")),
    };
    let process = |Process { pid, uid, names: [comm, cwd, root, command_line, cgroup, job], rank, open }: Process| {
        let ran = Ran { command_line, user: None, cgroup, rank, job };
        let [comm, cwd, root] = [comm, cwd, root].map(|name| name.map(Arc::from));
        let descriptor = |Descriptor(path, [fd, ofd, flags, pos, dev, ino, st_mode, size], cloexec): Descriptor| Open {
            fd,
            ofd,
            path: path.into(),
            flags,
            cloexec,
            pos,
            dev,
            ino,
            st_mode,
            size,
        };
        Present { pid, comm, uid, ran, cwd, root, open: open.into_iter().map(descriptor).collect() }
    };
    let absolute = |path: &Vec<u8>| path.first() == Some(&b'/');
    if !written.rules.iter().map(|(path, _)| path).chain(&written.mounts).all(absolute) {
        bail!("a path of the configuration is not absolute");
    }
    Ok(Config {
        rules: written.rules.into_iter().map(|(path, place)| Ok((path, numbered(&PLACES, place)?))).collect::<Result<_>>()?,
        mounts: written.mounts,
        kinds: written.kinds.into_iter().map(|(path, kind)| Ok((path, word(kind)?))).collect::<Result<_>>()?,
        memory: written.memory.into_iter().map(|(path, kept)| Ok((path, why(kept)?))).collect::<Result<_>>()?,
        present: written.present.into_iter().map(process).collect(),
        notes: numbered(&NOTES, written.notes)?,
        requests: numbered(&REQUESTS, written.requests)?,
        faults: written.faults,
        cache: written.cache,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let open = Open {
            fd: 3,
            ofd: 4,
            path: b"/a\xff"[..].into(),
            flags: 5,
            cloexec: true,
            pos: 6,
            dev: 7,
            ino: 8,
            st_mode: 9,
            size: 10,
        };
        let present = Present {
            pid: 1,
            comm: None,
            uid: Some(5),
            ran: Ran {
                command_line: Some(b"a b".to_vec()),
                user: None,
                cgroup: Some(b"/g".to_vec()),
                rank: Some(6),
                job: Some(b"7".to_vec()),
            },
            cwd: Some(b"/c"[..].into()),
            root: Some(b"/"[..].into()),
            open: vec![open],
        };
        let config = Config {
            rules: vec![(b"/x".to_vec(), Place::Ignore), (b"/proc".to_vec(), Place::Pseudo), (b"/k".to_vec(), Place::Keep)],
            mounts: vec![b"/".to_vec()],
            kinds: vec![(b"/o".to_vec(), Some(Elsewhere::OverlayFlat)), (b"/p".to_vec(), None)],
            memory: vec![(b"/m".to_vec(), Some(StaysOnDisk::Crossed)), (b"/n".to_vec(), None)],
            present: vec![present].into(),
            notes: Notes::Process,
            requests: Requests::Submitted,
            faults: true,
            cache: true,
        };
        for config in [config, Config::default()] {
            assert_eq!(format!("{:?}", read(&write(&config).unwrap()).unwrap()), format!("{config:?}"));
        }
        for bad in ["", "{}", "[]", "{\"rules\":[[[97],0]]}"] {
            read(bad.as_bytes()).unwrap_err();
        }
    }
}
