// Shows what is pushed, also while no page is open. A button posts to its signed
// link; a click opens the incident.
"use strict";
self.addEventListener("push", (e) => {
  const m = e.data.json();
  e.waitUntil(self.registration.showNotification(m.title, {
    body: m.body, tag: m.id, requireInteraction: m.urgent, data: m,
    actions: (m.actions ?? []).map((a) => ({ action: a.action, title: a.title })),
  }));
});
self.addEventListener("notificationclick", (e) => {
  e.notification.close();
  const m = e.notification.data;
  const act = (m.actions ?? []).find((a) => a.action === e.action);
  if (!act) {
    if (m.url) e.waitUntil(self.clients.openWindow(m.url));
    return;
  }
  e.waitUntil(fetch(act.url, { method: "POST" }).then((answer) => {
    if (!answer.ok && m.url) return self.clients.openWindow(act.url);
  }));
});
