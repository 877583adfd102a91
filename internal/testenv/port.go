package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ports are taken from below the range (32768 and up) in which the kernel seeks
// ports for outgoing connections and for ":0", so that nothing moves in while a
// registry is stopped.
const lowestPort, highestPort = 20000, 32000

// reservePort finds a free port on 127.0.0.1 and keeps it for this test. Other
// tests of any process see the reservation: an abstract socket of the port's name,
// which the kernel drops with the process that holds it.
func reservePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		reservation, err := net.Listen("unix", fmt.Sprintf("@specman-testenv-%d", port))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			reservation.Close()
			continue
		}
		probe.Close()
		t.Cleanup(func() { reservation.Close() })
		return port
	}
	require.FailNow(t, "no free port on 127.0.0.1", "tried 1000 between %d and %d", lowestPort, highestPort)
	return 0
}
