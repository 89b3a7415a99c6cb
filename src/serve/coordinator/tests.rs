use super::*;
use crate::serve::message::{File, Pong, UNASKED};

#[test]
fn machines_are_named_by_address_and_once() {
    let refused = |on: &[&str]| names(&on.iter().map(ToString::to_string).collect::<Vec<_>>()).is_err();
    assert!(!refused(&["10.0.0.1:50060", "[fe80::1]:1", "node-1.example:5"]));
    assert!(refused(&["a:1", "a:1"]) && refused(&["../x:1"]) && refused(&["a"]) && refused(&["a:1\n"]) && refused(&[]));
}

const CLOCK: Offset = Offset { ns: 0, error: 1 };

/// What a machine says whose replay is over: that, and its run.
fn ends() -> Vec<Body> {
    let text = br#"{"format": 1, "kind": "run", "summary": {"complete": true, "ops": 3}}"#;
    let file = File { table: String::new(), size: text.len() as u64 };
    vec![Body::Go(true), Body::File(file), Body::Piece(text.to_vec()), Body::Whole(true)]
}

fn frames(frames: &[Frame]) -> Body {
    Body::Frames(frames.iter().flat_map(|frame| frame.bytes()).collect())
}

/// What comes of two machines that are ready and then say this. They answer pings, and the second one goes on to say that it is busy.
fn come_to(said: [Vec<Body>; 2]) -> Vec<Machine> {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime().unwrap();
    let (tell, events) = mpsc::channel(QUEUE);
    let mut hub = Hub::new(2);
    let (say, heard): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel::<Message>(QUEUE)).unzip();
    for (machine, mut heard) in heard.into_iter().enumerate() {
        hub.hear(machine, Frame::Ready, |_, _| {});
        let tell = tell.clone();
        runtime.spawn(async move {
            while let Some(message) = heard.recv().await {
                if let Some(Body::Ping(ping)) = message.body {
                    let pong = Body::Pong(Pong { ping, clock: now() });
                    let _ = tell.send((machine, Event::Said(pong, now()))).await;
                }
            }
        });
    }
    runtime.spawn(async move {
        for (machine, body) in
            said.into_iter().enumerate().flat_map(|(machine, said)| said.into_iter().map(move |body| (machine, body)))
        {
            let _ = tell.send((machine, Event::Said(body, now()))).await;
        }
        loop {
            let pong = Body::Pong(Pong { ping: UNASKED, clock: 0 });
            if tell.send((1, Event::Said(pong, now()))).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let names = vec!["a:1".to_owned(), "b:1".to_owned()];
    let mut servers = Servers { runtime: &runtime, names, say, events, backlog: VecDeque::new(), hub, signal: None };
    let began = Instant::now();
    let machines = servers.replay(dir.path(), 1 << 20, &[CLOCK, CLOCK]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    runtime.shutdown_background();
    machines
}

#[test]
fn who_says_what_it_may_not_is_lost_at_once() {
    let good = || [vec![frames(&[Frame::Done])], ends()].concat();
    let odd = |body: Body| come_to([good(), vec![body]]);
    for body in [frames(&[Frame::Finish]), Body::Frames(vec![1; BYTES]), Body::Frames(vec![0; 5]), Body::Hello(VERSION)] {
        let machines = odd(body.clone());
        assert!(machines[0].lost.is_empty() && machines[0].complete, "{machines:?}");
        assert!(machines[1].run.is_none() && machines[1].lost.len() == 1, "{body:?}: {machines:?}");
    }
}

#[test]
fn the_run_of_who_ends_early_is_kept() {
    let early = [vec![frames(&[Frame::Failed])], ends()].concat();
    let machines = come_to([early.clone(), early]);
    assert!(machines.iter().all(|machine| machine.run.is_some() && machine.lost.is_empty()), "{machines:?}");
}
