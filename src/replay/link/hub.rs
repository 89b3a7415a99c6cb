//! What the coordinator of a replay on several machines does with their frames: passes counters on, and knows when all are ready and
//! done, and who is lost.

use super::frame::Frame;

/// What has become of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Preparing,
    Ready,
    Done,
    Lost,
}

/// What a frame means for the replay as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing but what was passed on.
    Nothing,
    /// The last machine is ready: the start can be given.
    AllReady,
    /// The last machine is done, which all were told.
    AllDone,
    /// A machine ended its replay early, which the others were told.
    Ended,
    /// A machine said what it may not, and counts as lost, which the others were told.
    Lost,
}

/// Where the frames of all machines meet.
#[derive(Debug)]
pub struct Hub {
    phases: Vec<Phase>,
}

impl Hub {
    /// For so many machines.
    pub fn new(machines: usize) -> Hub {
        Hub { phases: vec![Phase::Preparing; machines] }
    }

    fn others(&self, from: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.phases.len()).filter(move |machine| *machine != from)
    }

    /// All machines are where this phase is, or further; none is lost.
    fn all(&self, phase: Phase) -> bool {
        self.phases.iter().all(|at| *at >= phase && *at != Phase::Lost)
    }

    /// Takes a frame of a machine, and sends others what concerns them.
    pub fn hear(&mut self, from: usize, frame: Frame, mut send: impl FnMut(usize, Frame)) -> News {
        match (frame, self.phases[from]) {
            (_, Phase::Lost) => News::Nothing,
            (Frame::Counter { worker, next, end, .. }, Phase::Ready) => {
                let machine = from as u32;
                self.others(from).for_each(|to| send(to, Frame::Counter { machine, worker, next, end }));
                News::Nothing
            }
            (Frame::Ready, Phase::Preparing) => {
                self.phases[from] = Phase::Ready;
                if self.all(Phase::Ready) { News::AllReady } else { News::Nothing }
            }
            (Frame::Done, Phase::Ready) => {
                self.phases[from] = Phase::Done;
                if !self.all(Phase::Done) {
                    return News::Nothing;
                }
                (0..self.phases.len()).for_each(|to| send(to, Frame::Finish));
                News::AllDone
            }
            (frame, _) => {
                self.lose(from, send);
                if frame == Frame::Failed { News::Ended } else { News::Lost }
            }
        }
    }

    /// Notes that a machine is lost, and tells the others.
    pub fn lose(&mut self, from: usize, mut send: impl FnMut(usize, Frame)) {
        if self.phases[from] != Phase::Lost {
            self.phases[from] = Phase::Lost;
            self.others(from).for_each(|to| send(to, Frame::Lost { machine: from as u32 }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_where_they_belong() {
        let mut hub = Hub::new(3);
        let hear = |hub: &mut Hub, from, frame| {
            let mut sent = Vec::new();
            let news = hub.hear(from, frame, |to, frame| sent.push((to, frame)));
            (news, sent)
        };
        for (from, news) in [(0, News::Nothing), (2, News::Nothing), (1, News::AllReady)] {
            assert_eq!(hear(&mut hub, from, Frame::Ready), (news, vec![]));
        }
        let counter = |machine| Frame::Counter { machine, worker: 4, next: 5, end: 6 };
        // Who says that it is another machine is not believed.
        assert_eq!(hear(&mut hub, 1, counter(0)), (News::Nothing, vec![(0, counter(1)), (2, counter(1))]));
        assert_eq!(hear(&mut hub, 0, Frame::Done), (News::Nothing, vec![]));
        assert_eq!(hear(&mut hub, 1, Frame::Done).0, News::Nothing);
        assert_eq!(hear(&mut hub, 2, Frame::Done), (News::AllDone, (0..3).map(|to| (to, Frame::Finish)).collect()));
    }

    #[test]
    fn who_says_what_he_may_not_is_lost() {
        for (before, frame, news) in [
            (None, Frame::Finish, News::Lost),
            (None, Frame::Done, News::Lost),
            (Some(Frame::Ready), Frame::Ready, News::Lost),
            (None, Frame::Failed, News::Ended),
        ] {
            let (mut hub, mut sent) = (Hub::new(2), Vec::new());
            before.into_iter().for_each(|frame| assert_eq!(hub.hear(1, frame, |_, _| {}), News::Nothing));
            assert_eq!(hub.hear(1, frame, |to, frame| sent.push((to, frame))), news);
            assert_eq!(sent, [(0, Frame::Lost { machine: 1 })]);
            assert_eq!(hub.hear(1, Frame::Ready, |_, _| panic!("it is lost")), News::Nothing);
        }
    }
}
