package ssh

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickReader acknowledges small segments at once. sshd leaves Nagle's
// algorithm on for sessions without a terminal, so each of its small answers
// waits until the one before is acknowledged, which the kernel delays by 40 ms.
// The option has to be set again after each segment. Source: tcp(7),
// TCP_QUICKACK.
type quickReader struct {
	net.Conn
	raw syscall.RawConn
}

const smallSegment = 4 << 10

func acknowledgeQuickly(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	q := &quickReader{Conn: conn, raw: raw}
	q.acknowledge()
	return q
}

// Read reads, and acknowledges what is small.
func (q *quickReader) Read(p []byte) (int, error) {
	n, err := q.Conn.Read(p)
	if n < smallSegment {
		q.acknowledge()
	}
	return n, err
}

func (q *quickReader) acknowledge() {
	_ = q.raw.Control(func(fd uintptr) { // without it, it is only slower
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
