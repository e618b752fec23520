//! Strangers, used tokens, and data that is another node's or gone.

use crate::harness::{Cluster, create_repo};
use gitmoor_replicator::ClusterError;
use gitmoor_replicator::net::{NetError, Token};
use gitmoor_replicator::storage::{Bootstrap, OpenError};
use std::net::SocketAddr;

fn somewhere() -> SocketAddr {
    "127.0.0.1:1".parse().expect("an address")
}

fn refusal(cluster: &Cluster, token: &Token) -> String {
    match cluster.ask_to_join(token, somewhere()) {
        Err(NetError::Refused { why, .. }) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("admitted"),
    }
}

#[test]
fn a_token_admits_one_node() {
    let mut cluster = Cluster::new();
    let token = cluster.token();
    cluster.ask_to_join(&token, somewhere()).expect("admitted");
    let why = refusal(&cluster, &token);
    assert!(why.contains("gitmoor cluster token"), "{why}");
    // Neither after a restart.
    cluster.stop(0);
    cluster.start(0);
    cluster.until("it leads", || cluster.node(0).read_barrier().is_ok());
    assert_eq!(refusal(&cluster, &token), why);
    let mut guess = cluster.token();
    guess.secret[0] ^= 1;
    assert_eq!(refusal(&cluster, &guess), why);
    assert_eq!(cluster.node(0).members().expect("reads").len(), 2);
}

/// Two nodes at one address; the token is good for another one.
#[test]
fn an_address_that_is_taken() {
    let cluster = Cluster::new();
    let token = cluster.token();
    let there = cluster.machines[0].address;
    let error = cluster.ask_to_join(&token, there).err().expect("refused");
    assert!(error.to_string().contains("node 1 is at"), "{error}");
    cluster.ask_to_join(&token, somewhere()).expect("admitted");
}

#[test]
fn the_data_of_another_node() {
    let mut cluster = Cluster::of_three();
    create_repo(cluster.node(0));
    cluster.stop(1);
    cluster.stop(2);
    let (one, other) = (&cluster.machines[1], &cluster.machines[2]);
    let opened = cluster.open(one, other.dir.path(), Bootstrap::Resume);
    match opened.err() {
        Some(ClusterError::Open(OpenError::OtherNode {
            found, expected, ..
        })) => {
            assert_eq!((found, expected), (other.id, one.id));
        }
        other => panic!("{other:?}"),
    }
}

/// It has voted, and would not know.
#[test]
fn data_that_is_gone() {
    let mut cluster = Cluster::of_three();
    cluster.stop(2);
    let machine = &cluster.machines[2];
    std::fs::remove_dir_all(machine.dir.path().join("replica")).expect("removed");
    let opened = cluster.open(machine, machine.dir.path(), Bootstrap::Resume);
    let Some(ClusterError::Open(error @ OpenError::Lost(_))) = opened.err() else {
        panic!("it begins anew");
    };
    assert!(error.to_string().contains("join anew"), "{error}");
}
