package logs

import "encoding/binary"

// FrameHeader is how many bytes stand before each piece of output where both
// streams share a connection (ContainerAttach in the Docker Engine API's
// reference): the stream's number, three zeros, and the piece's length in four
// bytes, big-endian. moby's stdcopy reads such frames.
const FrameHeader = 8

// PutFrameHeader writes the header of a piece of n bytes into the first bytes of
// frame.
func PutFrameHeader(frame []byte, s Stream, n int) {
	clear(frame[:FrameHeader])
	frame[0] = byte(s)
	binary.BigEndian.PutUint32(frame[4:FrameHeader], uint32(n))
}
