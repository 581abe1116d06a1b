// What all of these have in common: a port of the kernel's choosing, told as the runner expects it.
export function listen(server) {
  server.requestTimeout = 0; // the runner's uploads take as long as they take
  server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
}
