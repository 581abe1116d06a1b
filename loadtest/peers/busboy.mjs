// Forms by busboy, which multer and others stand on: each file is piped to the disk. usage: busboy.mjs DIR [HASH]
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import busboy from "busboy";
import { listen } from "./listen.mjs";

const [root, algorithm] = process.argv.slice(2);

function store(request, response) {
  const files = [];
  const form = busboy({ headers: request.headers });
  form.on("file", (_, stream, { filename }) => {
    if (algorithm !== undefined) {
      const hash = createHash(algorithm);
      stream.on("data", (chunk) => hash.update(chunk));
    }
    files.push(pipeline(stream, createWriteStream(path.join(root, path.basename(filename)))));
  });
  form.on("close", () => {
    Promise.all(files).then(
      () => response.writeHead(201).end(),
      () => response.destroy(),
    );
  });
  form.on("error", () => response.destroy());
  request.pipe(form);
}

listen(
  createServer((request, response) => {
    if (request.method !== "POST") response.writeHead(200).end("here\n");
    else store(request, response);
  }),
);
