// Signs this browser up for push: asks for permission, registers the worker and
// tells the server where and how to reach it.
(() => {
  "use strict";
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  async function signUp(form) {
    if (!("serviceWorker" in navigator) || !("PushManager" in window)) throw new Error("This browser has no push, or the address is not secure (https).");
    if (await Notification.requestPermission() !== "granted") throw new Error("The browser does not allow notifications from this page.");
    await navigator.serviceWorker.register("/push-worker.js");
    const worker = await navigator.serviceWorker.ready;
    const old = await worker.pushManager.getSubscription();
    if (old) await old.unsubscribe();
    const made = (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(form.dataset.push) })).toJSON();
    const answer = await fetch(`/api/v1/channels/${encodeURIComponent(form.dataset.channel)}/subscribe`, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ endpoint: made.endpoint, p256dh: made.keys.p256dh, auth: made.keys.auth }),
    });
    if (!answer.ok) throw new Error((await answer.json()).detail ?? answer.statusText);
  }
  for (const form of document.querySelectorAll("form[data-push]")) {
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      const status = form.querySelector("[role=status]");
      try {
        await signUp(form);
        status.textContent = "This browser is signed up.";
      } catch (problem) {
        status.textContent = problem.message;
      }
    });
  }
})();
