// One upload by tus-js-client, as a job in JSON says (the only argument). What happens is told in lines of JSON: first,
// if asked for, that so many bytes were sent ("event": "reached"), in the end what came of it ("event": "end").
//   modules    the folder node_modules
//   file       what to send; source: as a "file" (else), a "buffer", or a "stream" that does not know its length
//   options    of tus.Upload
//   storage    a file that keeps the URLs of uploads; is_resumed: look there for one to go on with
//   abort_at   end all connections after so many bytes; terminate: and the upload with them
//   tell_at    tell once so many bytes were sent
'use strict'

const fs = require('fs')
const http = require('http')
const net = require('net')
const path = require('path')
const { PassThrough } = require('stream')

const job = JSON.parse(process.argv[2])
const tus = require(path.join(job.modules, 'tus-js-client'))
const requests = []
let upload
let sent = 0
let isTold = false
let isAborted = false

function tell (event, more) {
  fs.writeSync(1, JSON.stringify({ event, ...more }) + '\n')
}

function end (result) {
  tell('end', { ...result, url: upload && upload.url, requests })
  process.exit(0)
}

function watch (bytes) {
  sent += bytes
  if (job.tell_at !== undefined && sent >= job.tell_at && !isTold) {
    isTold = true
    tell('reached')
  }
  if (job.abort_at !== undefined && sent >= job.abort_at && !isAborted) {
    isAborted = true
    process.nextTick(() => upload.abort(job.terminate === true) // before a fast socket takes all the rest
      .then(() => end({ outcome: 'aborted' }), (error) => end({ outcome: 'failed', message: String(error) })))
  }
}

// tus-js-client tells its progress ten times a second; here every byte counts as a socket takes it.
class Agent extends http.Agent {
  createConnection (options, callback) {
    const socket = net.createConnection(options, callback)
    const write = socket.write
    socket.write = function (data, ...more) {
      const isRoom = write.call(this, data, ...more)
      watch(Buffer.byteLength(data))
      return isRoom
    }
    return socket
  }
}

const options = {
  retryDelays: null,
  ...job.options,
  httpStack: new tus.DefaultHttpStack({ agent: new Agent({ keepAlive: true }) }),
  onAfterResponse: (request, response) => {
    requests.push({
      method: request.getMethod(),
      url: request.getURL(),
      sent: request._headers,
      status: response.getStatus(),
      headers: response.getUnderlyingObject().headers,
      body: response.getBody()
    })
  },
  onSuccess: () => end({ outcome: 'done' }),
  onError: (error) => end({ outcome: 'failed', message: String(error) })
}
if (job.storage) options.urlStorage = new tus.FileUrlStorage(job.storage)

const sources = {
  file: () => fs.createReadStream(job.file),
  buffer: () => fs.readFileSync(job.file),
  stream: () => fs.createReadStream(job.file).pipe(new PassThrough())
}
upload = new tus.Upload(sources[job.source || 'file'](), options)
if (job.is_resumed) {
  upload.findPreviousUploads().then((found) => {
    if (found.length !== 1) end({ outcome: 'failed', message: `${found.length} uploads to resume` })
    upload.resumeFromPreviousUpload(found[0])
    upload.start()
  })
} else {
  upload.start()
}
