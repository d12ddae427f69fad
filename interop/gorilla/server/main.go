// Debian's gorilla/websocket as the server of a taiwa client: `server [CERT KEY]`. Prints `listening PORT`, and
// `closed PATH CODE REASON` at each end.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{EnableCompression: true}

func talk(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	socket.SetReadLimit(16 << 20)
	soon := func() time.Time { return time.Now().Add(5 * time.Second) }
	switch path {
	case "/close":
		socket.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4002, "またね"), soon())
	case "/big":
		socket.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20+1))
	case "/ping":
		socket.SetPongHandler(func(payload string) error {
			return socket.WriteMessage(websocket.TextMessage, []byte("pong "+payload))
		})
		socket.WriteControl(websocket.PingMessage, []byte("taiwa"), soon())
	}
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil {
			if closed, ok := err.(*websocket.CloseError); ok {
				fmt.Println("closed", path, closed.Code, closed.Text)
			}
			return
		}
		if err := socket.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) == 3 {
		panic(http.ServeTLS(listener, http.HandlerFunc(talk), os.Args[1], os.Args[2]))
	}
	panic(http.Serve(listener, http.HandlerFunc(talk)))
}
