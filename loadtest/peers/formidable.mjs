// Forms by formidable, as its README has it. usage: formidable.mjs DIR
import { createServer } from "node:http";
import formidable from "formidable";
import { listen } from "./listen.mjs";

const uploadDir = process.argv[2];

listen(
  createServer((request, response) => {
    if (request.method !== "POST") {
      response.writeHead(200).end("here\n");
      return;
    }
    formidable({ uploadDir, maxFileSize: Infinity, maxTotalFileSize: Infinity, allowEmptyFiles: true, minFileSize: 0 })
      .parse(request)
      .then(
        () => response.writeHead(201).end(),
        () => response.destroy(),
      );
  }),
);
