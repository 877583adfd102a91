package httpserve

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a headless Chromium, spoken to by the DevTools protocol over two
// pipes: JSON messages that end with a NUL.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	id      int
	session string
	faults  []string // what the page's console complained about
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	out, err := exec.Command("../../test/deps.sh", "chromium").CombinedOutput() // does nothing where it is there
	require.NoError(t, err, "%s", out)
	path, err := exec.LookPath("chromium")
	require.NoError(t, err)
	theirRead, ourWrite, err := os.Pipe()
	require.NoError(t, err)
	ourRead, theirWrite, err := os.Pipe()
	require.NoError(t, err)
	home := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--ignore-certificate-errors", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(home, "profile"), "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{theirRead, theirWrite} // descriptors 3 and 4
	require.NoError(t, cmd.Start())
	theirRead.Close()
	theirWrite.Close()
	require.NoError(t, ourRead.SetReadDeadline(time.Now().Add(2*time.Minute)))
	b := &browser{t: t, to: ourWrite, from: bufio.NewReaderSize(ourRead, 1<<20)}
	t.Cleanup(func() {
		_ = ourWrite.Close() // the browser ends when its pipe does
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = ourRead.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Log.enable", nil, nil)
	b.call("Runtime.enable", nil, nil)
	return b
}

// call sends a command and waits for its result.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.id++
	command := map[string]any{"id": b.id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	line, err := json.Marshal(command)
	require.NoError(b.t, err)
	_, err = b.to.Write(append(line, 0))
	require.NoError(b.t, err)
	m := b.until(func(m message) bool { return m.ID == b.id })
	require.Empty(b.t, string(m.Error), method)
	if result != nil {
		require.NoError(b.t, json.Unmarshal(m.Result, result))
	}
}

func (b *browser) until(done func(message) bool) message {
	b.t.Helper()
	for {
		line, err := b.from.ReadBytes(0)
		require.NoError(b.t, err)
		var m message
		require.NoError(b.t, json.Unmarshal(line[:len(line)-1], &m))
		if m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown" {
			b.faults = append(b.faults, string(m.Params))
		}
		if done(m) {
			return m
		}
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(func(m message) bool { return m.Method == "Page.loadEventFired" })
}

// eval returns what a script comes to, as JSON.
func (b *browser) eval(script string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &got)
	require.Empty(b.t, string(got.ExceptionDetails), script)
	return string(got.Result.Value)
}

func (b *browser) screenshot(name string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(b.t.ArtifactDir(), name), png, 0o644))
}

// The listing as people see it: on a phone and on a desktop, light and dark,
// with and without JavaScript. Run with -artifacts to keep the pictures.
func TestListingInABrowser(t *testing.T) {
	files := tree{
		"roar/nickfury/versions.yaml":    "versions: []\n",
		"roar/nickfury/4.6/version.yaml": "version: 4.6.0\n",
		"roar/nickfury/4.5/version.yaml": "version: 4.5.0\n",
		"roar/nickfury/images.tgz":       string(make([]byte, 3<<20)),
		"roar/nickfury/checksums.sha256": "x\n",
		"roar/nickfury/instance-types-and-storage-types-of-every-provider-and-region-that-there-is.json": "{}\n",
		"roar/nickfury/<script>window.stolen = 1<%2Fscript>.txt":                                         "odd\n",
		"roar/nickfury/\" onmouseover=\"window.stolen = 1.txt":                                           "odd\n",
		"roar/nickfury/javascript:window.stolen = 1":                                                     "odd\n",
		"roar/nickfury/100% & more?.txt":                                                                 "percent\n",
	}
	s := openStore(t)
	follow(t, s, hold(t, s, "4.6.0", files), hold(t, s, "4.5.0", tree{"roar/other.txt": "x"}))
	r := start(t, s)
	page := "https://" + r.addr + "/roar/nickfury/"
	b := startBrowser(t)
	const shown = `[...document.querySelectorAll("tbody tr")].filter(row => row.offsetParent).length`
	for _, size := range []struct {
		name          string
		width, height int
	}{{"phone", 390, 844}, {"desktop", 1280, 800}} {
		backgrounds := map[string]bool{}
		for _, scheme := range []string{"light", "dark"} {
			b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": size.width, "height": size.height, "deviceScaleFactor": 1, "mobile": size.name == "phone"}, nil)
			b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
			b.open(page)
			assert.Equal(t, "10", b.eval(shown), "each entry is a row")
			assert.Equal(t, "true", b.eval(`document.documentElement.scrollWidth <= window.innerWidth`), "nothing sticks out at %d", size.width)
			assert.Equal(t, "true", b.eval(`document.querySelector("input").offsetParent !== null`), "the script ran: the policy lets it")
			backgrounds[b.eval(`getComputedStyle(document.body).backgroundColor`)] = true
			b.screenshot(fmt.Sprintf("listing-%s-%s.png", size.name, scheme))
		}
		assert.Len(t, backgrounds, 2, "light and dark differ")
	}
	assert.JSONEq(t, `["4.5/","4.6/","\" onmouseover=\"window.stolen = 1.txt"]`,
		b.eval(`[...document.querySelectorAll("tbody a")].slice(0, 3).map(a => a.textContent)`), "folders first, then by name")
	assert.Contains(t, b.eval(`document.querySelector("footer").textContent`), viewID(t, s))
	assert.Contains(t, b.eval(`document.querySelector("footer").textContent`), "4.6.0")
	assert.Equal(t, `"/ roar/ nickfury/"`, b.eval(`[...document.querySelector("h1").childNodes].map(n => n.textContent).filter(t => t).join(" ")`))

	filter := func(text string) string {
		b.eval(`document.querySelector("input").focus(), document.querySelector("input").value = ""`)
		b.call("Input.insertText", map[string]any{"text": text}, nil)
		return b.eval(shown)
	}
	assert.Equal(t, "4", filter("st"), "as one types")
	assert.Equal(t, "1", filter("VERSIONS .yaml"), "each word, whatever its case")
	assert.Equal(t, "0", filter("nothing like it"))
	assert.Equal(t, "true", b.eval(`document.querySelector("p").offsetParent !== null`), "and says so")
	b.screenshot("listing-filtered.png")

	links := `[...document.querySelectorAll("tbody a, h1 a")].map(a => a.href)`
	var hrefs []string
	require.NoError(t, json.Unmarshal([]byte(b.eval(links)), &hrefs))
	assert.Len(t, hrefs, 10+2)
	for _, href := range hrefs {
		assert.Regexp(t, "^https://"+r.addr+"/", href)
		got := r.ask(t, r.client(t, 1), "GET", href[len("https://"+r.addr):])
		assert.Equal(t, 200, got.StatusCode, href)
	}
	assert.Equal(t, `"undefined"`, b.eval(`typeof window.stolen`), "a name is no script")
	assert.Empty(t, b.faults)

	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.open(page)
	assert.Equal(t, "10", b.eval(shown))
	assert.Equal(t, "true", b.eval(`document.querySelector("input").offsetParent === null`), "no filter that does nothing")
	b.screenshot("listing-without-javascript.png")
}
