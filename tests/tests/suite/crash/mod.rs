//! Drills: the daemon is killed at every named point of the code and at random
//! instants, and the power is cut. What git acknowledged is there afterwards, and
//! nothing is half done.

mod atomic;
mod names;
mod pieces;
mod points;
mod power;
mod random;
mod recovery;
mod restart;
