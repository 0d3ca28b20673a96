// Package link is the wire between a client and drayd connect: what both ends
// of one connection to a host must agree on. The client's end is deploy/ssh,
// the host's end targets/connect.
//
//	bytes on stdio     connect writes the line Preface; all after it is yamux
//	stream 1           control: connect writes one Hello; its end is the end of both
//	client's streams   connect splices each to the agent's socket
//	connect's streams  one for each connection that the agent makes to the peer socket
//
// Every stream but the control stream carries frames, because a yamux stream
// can not tell "no more from me" from "I am gone", and exec, attach and HTTP
// upgrades need both:
//
//	┌────────────┬──────────────┐
//	│ length u32 │ length bytes │   big endian; length 0: the writer has ended (half-close)
//	└────────────┴──────────────┘
//
// A stream that ends without a frame of length 0 was cut off.
package link
