// Debian's gorilla/websocket as the client of a taiwa server: the checks of checks.mjs, in Go.
//
//	client WS_ORIGIN WSS_ORIGIN DOOMED_ORIGIN DOOMED_PID
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

const (
	text   = websocket.TextMessage
	binary = websocket.BinaryMessage
	limit  = 1 << 20
	step   = 5 * time.Second
)

var origin, secure, doomed = os.Args[1], os.Args[2], os.Args[3]

type failure struct{ why string }

func must(holds bool, format string, values ...any) {
	if !holds {
		panic(failure{fmt.Sprintf(format, values...)})
	}
}

func noise(length int) []byte {
	bytes := make([]byte, length)
	rand.New(rand.NewSource(int64(length))).Read(bytes)
	return bytes
}

func dial(dialer websocket.Dialer, url string, header http.Header) *websocket.Conn {
	dialer.HandshakeTimeout = step
	socket, response, err := dialer.Dial(url, header)
	status := 0
	if response != nil {
		status = response.StatusCode
	}
	must(err == nil, "%v, status %d", err, status)
	socket.SetReadDeadline(time.Now().Add(2 * step))
	socket.SetWriteDeadline(time.Now().Add(2 * step))
	return socket
}

func open(path string) *websocket.Conn {
	return dial(websocket.Dialer{}, origin+path, nil)
}

func send(socket *websocket.Conn, kind int, payload []byte) {
	err := socket.WriteMessage(kind, payload)
	must(err == nil, "send: %v", err)
}

func expect(socket *websocket.Conn, kind int, payload []byte) {
	receivedKind, received, err := socket.ReadMessage()
	must(err == nil, "receive: %v", err)
	must(receivedKind == kind, "kind %d came back as %d", kind, receivedKind)
	must(bytes.Equal(received, payload), "%d bytes changed into %d", len(payload), len(received))
}

func echo(socket *websocket.Conn, kind int, payload []byte) {
	send(socket, kind, payload)
	expect(socket, kind, payload)
}

func awaitClose(socket *websocket.Conn, code int, reason string) {
	_, _, err := socket.ReadMessage()
	closed, ok := err.(*websocket.CloseError)
	must(ok, "no close frame: %v", err)
	// RFC 6455 §5.5.1 has the answer repeat the code; taiwa repeats the reason too.
	must(closed.Code == code && closed.Text == reason, "closed with %v", closed)
}

func hangUp(socket *websocket.Conn, code int, reason string) {
	frame := websocket.FormatCloseMessage(code, reason)
	err := socket.WriteControl(websocket.CloseMessage, frame, time.Now().Add(step))
	must(err == nil, "close: %v", err)
	awaitClose(socket, code, reason)
	socket.Close()
}

func echoOnce(kind int, payload []byte) {
	socket := open("/echo")
	echo(socket, kind, payload)
	hangUp(socket, 1000, "")
}

func fragments() {
	// A message longer than the write buffer leaves as one frame for each filling of it.
	socket := dial(websocket.Dialer{WriteBufferSize: 64}, origin+"/echo", nil)
	for _, payload := range [][]byte{[]byte(strings.Repeat("対話", 300)), noise(70_000)} {
		kind := text
		if len(payload) == 70_000 {
			kind = binary
		}
		writer, err := socket.NextWriter(kind)
		must(err == nil, "writer: %v", err)
		for at := 0; at < len(payload); at += 50 {
			end := at + 50
			if end > len(payload) {
				end = len(payload)
			}
			writer.Write(payload[at:end])
		}
		must(writer.Close() == nil, "the last fragment")
		expect(socket, kind, payload)
	}
	hangUp(socket, 1000, "")
}

func pipelined() {
	socket := open("/echo")
	kind := func(n int) int { return binary - n%2 }
	for n := 0; n < 100; n++ {
		payload := noise(n)
		if kind(n) == text {
			payload = []byte(fmt.Sprint("message ", n))
		}
		send(socket, kind(n), payload)
	}
	for n := 0; n < 100; n++ {
		payload := noise(n)
		if kind(n) == text {
			payload = []byte(fmt.Sprint("message ", n))
		}
		expect(socket, kind(n), payload)
	}
	hangUp(socket, 1000, "")
}

func ping() {
	socket := open("/echo")
	pong := ""
	socket.SetPongHandler(func(payload string) error {
		pong = payload
		return nil
	})
	socket.WriteControl(websocket.PingMessage, []byte("taiwa"), time.Now().Add(step))
	echo(socket, text, []byte("after the pong"))
	must(pong == "taiwa", "pong %q", pong)
	hangUp(socket, 1000, "")
}

func compression() {
	dialer := websocket.Dialer{EnableCompression: true}
	socket, response, err := dialer.Dial(origin+"/echo", nil)
	must(err == nil, "%v", err)
	socket.SetReadDeadline(time.Now().Add(2 * step))
	extensions := response.Header.Get("Sec-Websocket-Extensions")
	must(strings.Contains(extensions, "permessage-deflate"), "extensions %q", extensions)
	compressible := []byte(strings.Repeat("taiwa dialogue! ", 4096))
	for round := 0; round < 3; round++ {
		for _, payload := range [][]byte{compressible, []byte("short"), {}} {
			echo(socket, text, payload)
		}
		echo(socket, binary, noise(70_000))
	}
	hangUp(socket, 1000, "")
}

func oversize() {
	socket := open("/echo")
	socket.WriteMessage(binary, noise(limit+1))
	_, _, err := socket.ReadMessage()
	must(websocket.IsCloseError(err, 1009), "%v", err)
}

func chat() {
	a, b, both := open("/chat"), open("/chat"), open("/chat?echo=true")
	send(a, text, []byte("こんにちは"))
	send(a, binary, noise(300))
	for _, listener := range []*websocket.Conn{b, both} {
		expect(listener, text, []byte("こんにちは"))
		expect(listener, binary, noise(300))
	}
	send(both, text, []byte("echo"))
	for _, listener := range []*websocket.Conn{a, b, both} {
		expect(listener, text, []byte("echo"))
		hangUp(listener, 1000, "")
	}
}

func overTLS() {
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	socket := dial(dialer, secure+"/echo", nil)
	echo(socket, text, []byte("over TLS"))
	echo(socket, binary, noise(200_000))
	hangUp(socket, 4001, "tls")
}

func origins() {
	own := http.Header{"Origin": {strings.Replace(origin, "ws", "http", 1)}}
	hangUp(dial(websocket.Dialer{}, origin+"/echo", own), 1000, "")
	foreign := http.Header{"Origin": {"http://elsewhere.example"}}
	_, response, err := websocket.DefaultDialer.Dial(origin+"/echo", foreign)
	must(err != nil, "a foreign Origin was let in")
	must(response != nil && response.StatusCode == 403, "%v %v", err, response)
}

func goingAway() {
	socket := dial(websocket.Dialer{}, doomed+"/echo", nil)
	echo(socket, text, []byte("still here"))
	pid, err := strconv.Atoi(os.Args[4])
	must(err == nil && syscall.Kill(pid, syscall.SIGTERM) == nil, "no process %q", os.Args[4])
	_, _, err = socket.ReadMessage()
	must(websocket.IsCloseError(err, 1001, 1012), "%v", err)
}

func check(name string, body func()) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Printf("FAIL %s: %v\n", name, reason)
			return
		}
		fmt.Println("ok", name)
	}()
	body()
}

func main() {
	check("text", func() { echoOnce(text, []byte("dialogue")) })
	check("japanese", func() { echoOnce(text, []byte("対話は、二人から始まる。𠮷野家")) })
	check("empty", func() { echoOnce(text, nil); echoOnce(binary, nil) })
	check("binary", func() { echoOnce(binary, noise(256)) })
	check("lengths", func() {
		for _, length := range []int{1, 125, 126, 127, 65_535, 65_536} {
			echoOnce(binary, noise(length))
		}
	})
	check("mebibyte", func() { echoOnce(binary, noise(limit-1)) })
	check("fragments", fragments)
	check("pipelined", pipelined)
	check("ping", ping)
	check("close", func() { hangUp(open("/echo"), 4001, "またね") })
	check("close-without-code", func() {
		socket := open("/echo")
		socket.WriteControl(websocket.CloseMessage, nil, time.Now().Add(step))
		_, _, err := socket.ReadMessage()
		must(websocket.IsCloseError(err, 1000, 1005), "%v", err)
	})
	check("compression", compression)
	check("oversize", oversize)
	check("chat", chat)
	check("tls", overTLS)
	check("origin", origins)
	check("going-away", goingAway)
}
