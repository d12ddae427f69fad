//! The protocol of Centrifugo's published clients, in JSON and in protobuf.

mod conversation;
mod encode;
mod wire;
