//! Three nodes on loopback with the same names.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use scifs::names::{
    Answer, Changes, Command, Consequences, Consistency, Event, Found, Founding, Inode, Make, NameError,
    NamesClient, Query, ROOT, Refusal, Time, Watch, XATTR_ADDRESS, address_text,
};
use scios::cluster::{Ended, Machine, Standing, View};
use scios::node::{AnyCluster, FabricKind, LifeParts, Node, NodeConfig, Upper};

const FAILURE: Duration = Duration::from_millis(800);
const PATIENCE: Duration = Duration::from_secs(20);
const NOW: Time = Time { seconds: 1, nanos: 0 };

/// Nothing but names on top of a node.
struct Top {
    client: Mutex<Option<Arc<NamesClient>>>,
    watch: Arc<Recorder>,
}

/// Tells the test what it hears, and leaves what concerns layouts for later.
struct Recorder(Mutex<Sender<(u64, Event)>>);

impl Watch for Recorder {
    fn event(&self, index: u64, event: Event) -> Consequences {
        let later = matches!(event, Event::Relaid { .. });
        let _ = self.0.lock().send((index, event));
        if later { Consequences::Later } else { Consequences::Done }
    }
}

impl Upper for Top {
    fn begin(&self, life: &LifeParts<'_>) -> Box<dyn Machine> {
        let founding = Founding { uid: 0, gid: 0, mode: 0o755, now: NOW };
        let client =
            NamesClient::new(life.rpc, &founding, PATIENCE, Arc::clone(&self.watch) as Arc<dyn Watch>);
        let machine = client.machine();
        *self.client.lock() = Some(client);
        machine
    }
    fn cluster(&self, _number: u64, cluster: &Arc<AnyCluster>) {
        self.client.lock().as_ref().expect("begin came first").set_cluster(cluster);
    }
    fn view(&self, _number: u64, _view: &Arc<View>) {}
    fn standing(&self, _number: u64, _standing: Standing) {}
    fn ended(&self, _number: u64, _how: &Ended) {
        if let Some(client) = self.client.lock().take() {
            client.end();
        }
    }
}

struct Member {
    node: Node,
    names: Arc<NamesClient>,
    events: Receiver<(u64, Event)>,
}

impl Member {
    fn start(name: &str, join: &[String]) -> Self {
        let (tell, events) = channel();
        let watch = Arc::new(Recorder(Mutex::new(tell)));
        let top = Arc::new(Top { client: Mutex::new(None), watch });
        let config = NodeConfig {
            name: name.into(),
            listen: Some("127.0.0.1:0".into()),
            join: join.to_vec(),
            fabric: FabricKind::Tcp,
            memory_bytes: 16 << 20,
            secret: None,
            spin_us: 0,
            failure_timeout: FAILURE,
            voters_max: 3,
        };
        let node = Node::start(config, Arc::clone(&top) as Arc<dyn Upper>).expect("a node on loopback");
        let names = top.client.lock().clone().expect("it is a member");
        Self { node, names, events }
    }

    fn make(&self, name: &str) -> Inode {
        let what = Make::File { consistency: Consistency::Strict, address: None, size: 0 };
        let name = name.into();
        let make = Command::Make { parent: ROOT, name, what, mode: 0o644, uid: 0, gid: 0, now: NOW };
        match self.names.run(&make).expect("the cluster is whole").answer {
            Answer::Attr(attr) => attr.inode,
            other => panic!("{other:?}"),
        }
    }

    fn lookup(&self, name: &str) -> Result<Found, NameError> {
        self.names.ask(&Query::Lookup { parent: ROOT, name: name.into() })
    }

    /// Answers where in the log that is.
    fn resize(&self, inode: Inode, size: u64) -> u64 {
        let changes = Changes { size: Some(size), ..Changes::default() };
        self.names.run(&Command::SetAttr { inode, changes, now: NOW }).expect("the cluster is whole").index
    }

    /// The event `Relaid` of this index.
    fn wait_relaid(&self, index: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).expect("an event in time") {
                (at, Event::Relaid { .. }) if at == index => return,
                _ => {}
            }
        }
    }
}

fn three() -> [Member; 3] {
    let first = Member::start("ant", &[]);
    let join = [first.node.life().address()];
    let others = ["bee", "cat"].map(|name| Member::start(name, &join));
    let [second, third] = others;
    let members = [first, second, third];
    // With fewer voters the death of one would be the end.
    let deadline = Instant::now() + PATIENCE;
    let all_vote = |member: &Member| {
        let status = member.node.life().cluster().status();
        status.voters.len() == 3 && status.voters_outgoing.is_empty() && !status.voters_changing
    };
    while !members.iter().all(all_vote) {
        assert!(Instant::now() < deadline, "three voters in time");
        std::thread::sleep(Duration::from_millis(5));
    }
    members
}

#[test]
fn a_name_is_seen_by_every_node_when_the_call_that_made_it_returns() {
    let members = three();
    for round in 0..60 {
        let name = format!("f{round}");
        members[round % 3].make(&name);
        for member in &members {
            assert!(matches!(member.lookup(&name), Ok(Found::Attr(_))), "{name}");
        }
        let unlink = Command::Unlink { parent: ROOT, name: name.clone().into(), now: NOW };
        members[(round + 1) % 3].names.run(&unlink).expect("it is there");
        for member in &members {
            assert_eq!(member.lookup(&name), Err(NameError::Refused(Refusal::NotFound)));
        }
    }
}

#[test]
fn a_change_has_settled_when_every_other_member_is_done_with_it() {
    let members = three();
    let inode = members[0].make("f");
    members[0].resize(inode, 100_000);
    let index = members[0].resize(inode, 1);
    let names = Arc::clone(&members[0].names);
    let (tell, told) = channel();
    let settling = std::thread::spawn(move || tell.send(names.settle(index)));
    members[1].wait_relaid(index);
    members[2].wait_relaid(index);
    members[1].names.consequences_done(index);
    // Whatever cat answers it has answered before this round trip to it ends.
    members[2].lookup("f").expect("it is there");
    assert!(told.try_recv().is_err(), "cat is not done yet");
    members[2].names.consequences_done(index);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
    settling.join().expect("it returns").expect("it was heard");
}

#[test]
fn a_change_settles_without_a_member_that_dies() {
    let [ant, bee, cat] = three();
    let inode = ant.make("f");
    ant.resize(inode, 100_000);
    let index = ant.resize(inode, 1);
    cat.wait_relaid(index);
    bee.wait_relaid(index);
    bee.names.consequences_done(index);
    drop(cat);
    assert_eq!(ant.names.settle(index), Ok(()));
    // And where nothing followed from a command, nobody waits for long.
    let grown = ant.resize(inode, 2);
    assert_eq!(ant.names.settle(grown), Ok(()));
}

#[test]
fn nodes_that_ask_for_an_address_at_once_get_the_same_one() {
    let members = three();
    let inode = members[0].make("f");
    let addresses: Vec<u64> = std::thread::scope(|scope| {
        let ask = |names: Arc<NamesClient>| names.address(inode).expect("there is room");
        let clients = members.iter().map(|member| Arc::clone(&member.names));
        let threads: Vec<_> = clients.map(|names| scope.spawn(move || ask(names))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it returns")).collect()
    });
    assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:x?}");
    let other = members[1].make("g");
    let query = Query::GetXattr { inode: other, name: XATTR_ADDRESS.to_vec() };
    let shown = members[2].names.ask(&query).expect("asking gives one");
    let address = members[0].names.address(other).expect("it has one");
    assert_eq!(shown, Found::Value(address_text(address).into_bytes()));
}

#[test]
fn names_outlive_the_node_that_made_them() {
    let [ant, bee, cat] = three();
    let inode = ant.make("f");
    drop(ant);
    let found = bee.lookup("f");
    assert!(matches!(found, Ok(Found::Attr(attr)) if attr.inode == inode), "{found:?}");
    cat.make("g");
    assert!(matches!(bee.lookup("g"), Ok(Found::Attr(_))));
}

#[test]
fn a_node_that_joins_late_knows_everything() {
    let members = three();
    for number in 0..50 {
        members[0].make(&format!("f{number}"));
    }
    let late = Member::start("dog", &[members[1].node.life().address()]);
    let query = Query::ReadDir { inode: ROOT, after: 0, max: 1000 };
    assert_eq!(late.names.ask(&query), members[0].names.ask(&query));
    assert!(late.events.try_iter().any(|(_, event)| event == Event::Restored));
    assert_eq!(late.names.member(), Some(4));
}
