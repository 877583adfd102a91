package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

const playedNode = "played"

// BrokenImage is a word that keeps a played pod from getting ready when it is in the
// name of its image.
const BrokenImage = "broken"

// playPods makes a node that is none, and reports its pods as running until the test
// ends.
func (c *Cluster) playPods() {
	c.t.Helper()
	c.Apply(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "` + playedNode + `", "labels": {"kubernetes.io/hostname": "` + playedNode + `"}}}`)
	require.NoError(c.t, c.patch("/api/v1/nodes/"+playedNode, object{"spec": object{"taints": nil}}))
	require.NoError(c.t, c.patch("/api/v1/nodes/"+playedNode+"/status", object{"status": object{
		"capacity":    object{"cpu": "8", "memory": "32Gi", "pods": "110"},
		"allocatable": object{"cpu": "8", "memory": "32Gi", "pods": "110"},
		"conditions":  []object{{"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": time.Now().Format(time.RFC3339)}},
	}}))
	ctx, stop := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	playing.Go(func() {
		for ctx.Err() == nil {
			c.playOnce() // what fails, fails again or is gone next time
			time.Sleep(100 * time.Millisecond)
		}
	})
	c.t.Cleanup(func() { stop(); playing.Wait() })
}

type object map[string]any

// A pod is what is played of one.
type pod struct {
	Metadata struct {
		Name, Namespace, DeletionTimestamp string
	}
	Spec struct {
		NodeName   string
		Containers []struct{ Name, Image string }
	}
	Status struct{ Phase string }
}

func (c *Cluster) playOnce() {
	var pods struct{ Items []pod }
	if err := c.getJSON("/api/v1/pods", &pods); err != nil {
		return
	}
	for n, p := range pods.Items {
		path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", p.Metadata.Namespace, p.Metadata.Name)
		switch {
		case p.Spec.NodeName == "":
		case p.Metadata.DeletionTimestamp != "":
			_, _ = c.do(http.MethodDelete, path, "application/json", object{"gracePeriodSeconds": 0})
		case p.Status.Phase == "Pending" && !strings.Contains(p.Spec.Containers[0].Image, BrokenImage):
			_ = c.patch(path+"/status", object{"status": running(p, n)})
		}
	}
}

// running is the status of a pod that is up and ready.
func running(p pod, n int) object {
	now := time.Now().UTC().Format(time.RFC3339)
	var conditions, containers []object
	for _, kind := range []string{"PodScheduled", "Initialized", "ContainersReady", "Ready"} {
		conditions = append(conditions, object{"type": kind, "status": "True", "lastTransitionTime": now})
	}
	for _, container := range p.Spec.Containers {
		containers = append(containers, object{"name": container.Name, "image": container.Image, "imageID": "played", "ready": true, "started": true,
			"restartCount": 0, "state": object{"running": object{"startedAt": now}}})
	}
	return object{"phase": "Running", "startTime": now, "podIP": fmt.Sprintf("10.244.0.%d", n%250+2), "podIPs": []object{{"ip": fmt.Sprintf("10.244.0.%d", n%250+2)}},
		"conditions": conditions, "containerStatuses": containers}
}

func (c *Cluster) getJSON(path string, into any) error {
	content, err := c.do(http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

func (c *Cluster) patch(path string, change object) error {
	_, err := c.do(http.MethodPatch, path, "application/merge-patch+json", change)
	return err
}

func (c *Cluster) do(method, path, contentType string, body any) ([]byte, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequest(method, c.url+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, nil
}
