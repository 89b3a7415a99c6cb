use super::*;

fn open(tasks: &mut Tasks, who: Who, fd: i64, cloexec: bool) -> OfdIx {
    let ofd = tasks.open(who, 1, 0);
    tasks.fds(who.process).set(fd, Entry { target: Target::Ofd(ofd), cloexec });
    ofd
}

#[test]
fn a_fork_shares_descriptions_and_the_last_exit_ends_them() {
    let mut tasks = Tasks::default();
    let (parent, _) = tasks.enter(10, 10);
    open(&mut tasks, parent, 3, false);
    tasks.fork(parent.process, 11, 0, Vec::new());
    let (child, _) = tasks.enter(11, 11);
    assert_ne!(child.vpid, parent.vpid);
    let entry = tasks.fds(child.process).get(3).unwrap();
    assert!(tasks.end_thread(10).into_iter().all(|entry| tasks.unref(entry).is_none()));
    assert!(tasks.unref(entry).is_some());
}

#[test]
fn a_thread_belongs_to_its_process_even_when_its_events_show_only_a_tid() {
    let mut tasks = Tasks::default();
    let (leader, _) = tasks.enter(10, 10);
    tasks.fork(leader.process, 11, flag::CLONE_THREAD | flag::CLONE_FILES | flag::CLONE_FS, Vec::new());
    let (thread, _) = tasks.enter(11, 11);
    assert_eq!((thread.process, thread.vpid), (leader.process, leader.vpid));
    open(&mut tasks, thread, 3, true);
    assert!(tasks.end_thread(11).is_empty());
    assert_eq!(tasks.exec(leader).len(), 1);
}

#[test]
fn a_leader_that_shows_up_after_its_threads_joins_them() {
    let mut tasks = Tasks::default();
    let thread = tasks.enter(700, 701).0;
    let leader = tasks.enter(700, 700).0;
    assert_eq!(leader.vpid, thread.vpid);
    assert_ne!(leader.vtid, thread.vtid);
}

#[test]
fn an_unannounced_thread_is_the_child_of_an_open_fork() {
    let mut tasks = Tasks::default();
    let (parent, _) = tasks.enter(10, 10);
    open(&mut tasks, parent, 3, false);
    tasks.fork_pending(parent.process, 0, Vec::new());
    let (child, _) = tasks.enter(12, 12);
    assert!(tasks.fds(child.process).get(3).is_some());
    let (stranger, _) = tasks.enter(13, 13);
    assert!(tasks.fds(stranger.process).get(3).is_none());
}

#[test]
fn what_a_thread_does_not_share_any_more_is_its_own() {
    let mut tasks = Tasks::default();
    let (leader, _) = tasks.enter(10, 10);
    open(&mut tasks, leader, 3, false);
    tasks.fork(leader.process, 11, flag::CLONE_THREAD | flag::CLONE_FILES | flag::CLONE_FS, Vec::new());
    let (mut thread, _) = tasks.enter(10, 11);
    thread.process = tasks.part(thread, true, false);
    open(&mut tasks, thread, 4, true);
    let (thread, _) = tasks.enter(10, 11);
    assert!(tasks.fds(leader.process).get(4).is_none() && tasks.fds(thread.process).get(3).is_some());
    assert_eq!((thread.vpid, tasks.alone(thread), tasks.alone(leader)), (leader.vpid, false, false));
    // The working directory is shared still, until that is given up, too.
    tasks.cwd(thread.process).ino = Some(7);
    assert_eq!(tasks.cwd(leader.process).ino, Some(7));
    assert_eq!(tasks.part(thread, false, true), thread.process);
    tasks.cwd(thread.process).ino = Some(8);
    assert_eq!(tasks.cwd(leader.process).ino, Some(7));
    // A thread of the thread shares with it alone; exec ends all others, whatever they had.
    tasks.fork(thread.process, 12, flag::CLONE_THREAD | flag::CLONE_FILES | flag::CLONE_FS, Vec::new());
    let (third, _) = tasks.enter(10, 12);
    assert_eq!(third.process, thread.process);
    let closed: Vec<_> = tasks.exec(third).into_iter().filter_map(|entry| tasks.unref(entry)).collect();
    assert_eq!(closed.iter().map(|ofd| ofd.id).collect::<Vec<_>>(), [1]);
    let (after, _) = tasks.enter(10, 10);
    assert_eq!((after.vpid, tasks.alone(after)), (leader.vpid, true));
    let last: Vec<_> = tasks.end_process(after).into_iter().filter_map(|entry| tasks.unref(entry)).collect();
    assert_eq!(last.iter().map(|ofd| ofd.id).collect::<Vec<_>>(), [0]);
    assert!(tasks.processes.iter().all(Option::is_none) && tasks.ofds.iter().all(Option::is_none));
}

#[test]
fn a_pid_that_comes_back_is_another_process() {
    let mut tasks = Tasks::default();
    let (first, _) = tasks.enter(10, 10);
    open(&mut tasks, first, 3, false);
    tasks.end_process(first);
    let (second, _) = tasks.enter(10, 10);
    assert_ne!(first.vpid, second.vpid);
    assert!(tasks.fds(second.process).get(3).is_none());
}
