/** What a new thread shows before its first message. */
export function EmptyState() {
  return (
    <div class="empty">
      <svg class="empty-thread" viewBox="0 0 720 360" aria-hidden="true" preserveAspectRatio="xMinYMax meet">
        <path d="M1900 40C1300 -60 500 -20 428 168c-22 66 44 116 100 86 54-29 34-112-36-118C404 128 340 206 254 206 170 206 134 136 70 144 16 151 0 200 0 262v98" />
      </svg>
      <h2>Begin a thread</h2>
      <p>
        It lives on the server. Close this page, open it elsewhere, come back tomorrow: the model still has its place
        in the conversation.
      </p>
    </div>
  );
}
