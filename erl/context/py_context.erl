%% SPDX-License-Identifier: Apache-2.0
%% @doc A Python context: one interpreter in a process of its own, with its own
%% namespace, that survives the death of that process with a fresh one.
%%
%% The functions here run in the caller.  A request finds the context's port in
%% a table and goes there directly; the context's own process
%% (`py_context_server') only starts, watches and replaces the helper.
%%
%% Results are `{ok, Value}' (`ok' for `exec') or `{error, Reason}':
%% <dl>
%% <dt>`{Type, Message}'</dt><dd>a Python exception, two strings</dd>
%% <dt>`timeout'</dt><dd>the time was up; the code was ended</dd>
%% <dt>`{crashed, Report}'</dt><dd>the helper died, see
%%   {@link py_context_core:report/1}</dd>
%% <dt>`unavailable'</dt><dd>the helper died too often; it is tried again
%%   soon</dd>
%% <dt>`{runtime_failed, Name, Why}', `{boot_failed, Why}'</dt><dd>no helper
%%   can be started</dd>
%% <dt>`{context_died, Why}'</dt><dd>the context has been stopped</dd>
%% <dt>`{invalid, Key, Value}'</dt><dd>a bad argument or option</dd>
%% <dt>`{protocol, What}', `{unknown_atom, Name}', `{too_large, Size, Max}',
%%   `{refused, Text}', `{stale_ref, Ref}'</dt><dd>as they say</dd>
%% </dl>
-module(py_context).

%% Life.
-export([start_link/2, start_link/3, new/1, stop/1, renew/1]).
%% Running Python.
-export([call/4, call/5, call/6, eval/2, eval/3, eval/4, exec/2, exec/3]).
%% Coroutines.
-export([submit/4, submit/5, submit_await/4, submit_await/5, submit_await/6]).
-export([start_loop/1, start_loop/2, stop_loop/1, stop_loop/2]).
%% Objects that stay in Python.
-export([call_method/4, call_method/5, getattr/3, getattr/4, to_term/1, is_ref/1, release/1,
         hold/1]).
%% Looking at it.
-export([interrupt/1, info/1, info/2, backtrace/1, get_interp_id/1]).

-export_type([context/0, result/0, options/0, call_options/0]).

-include("../port/py_wire.hrl").

%% A helper that does not answer in time is given up by its context before.
-define(BACKTRACE_MS, 10000).

-type context() :: pid().

-type result() :: {ok, term()} | {error, term()}.

-type options() :: #{runtime => atom(), policy => py_policy:given(),
                     ahead => non_neg_integer(), single_use => boolean(),
                     name => terrarium_config:name(),
                     env => #{terrarium_config:name() => terrarium_config:name()},
                     unset => [terrarium_config:name()], cwd => file:name_all(),
                     paths => [file:name_all()], imports => [terrarium_config:name()],
                     argv => [terrarium_config:name()], errors => pair | map,
                     grace_ms => non_neg_integer(), max_frame => pos_integer(),
                     max_depth => pos_integer(), restart => map(),
                     lane => boolean(), spin_us => non_neg_integer(),
                     log_output => boolean(), mode => atom(),
                     namespace => context | process,
                     recycle => #{calls => pos_integer(), age => pos_integer(),
                                  memory => pos_integer()},
                     retire_ms => non_neg_integer(),
                     output => stream | capture, output_max => pos_integer()}.
%% `runtime': which of the configured runtimes; `policy': what its Python may do, see
%% the guide to security; `ahead': how many helpers with this policy are kept
%% forked ahead; `single_use': it has one helper and no second; `env', `unset',
%% `cwd', `paths' (before `sys.path'), `imports', `argv': how the helper is set up; `errors':
%% the form of Python exceptions in results; `restart': see the configuration;
%% `lane': shared memory or the socketpair alone; `spin_us': how many microseconds
%% a caller polls for its answer before it sleeps; `namespace': whether `exec'
%% and `eval' of all callers share one, or each calling process has its own;
%% `recycle': after how many calls, milliseconds or bytes of memory the context
%% gets a fresh helper, see {@link renew/1}; `retire_ms': how long the former one is
%% kept for its objects and streams;
%% `output': what becomes of what requests print, as in {@link call_options()}.

-type call_options() ::
    timeout() | #{timeout => timeout(), kwargs => map(), return => term | ref,
                  errors => pair | map, output => stream | capture,
                  output_max => pos_integer()}.
%% `return => ref' leaves the value in Python and answers a reference to it;
%% `output => capture' makes the result `{ok, #{value, stdout, stderr}}', with at
%% most `output_max' bytes (1 MiB) of each, instead of letting what is printed go
%% to the group leader.

%%% Life

%% @doc Start a context that is linked to the caller.
%% @equiv start_link(Id, Mode, #{})
-spec start_link(term(), atom()) -> {ok, context()} | {error, term()}.
start_link(Id, Mode) ->
    start_link(Id, Mode, #{}).

%% @doc Start a context that is linked to the caller, and wait until its helper
%% is ready.
-spec start_link(term(), atom(), options()) -> {ok, context()} | {error, term()}.
start_link(Id, Mode, Options) ->
    case {py_context_opts:mode(Mode), py_context_opts:context(Options)} of
        {error, _} ->
            {error, {invalid, mode, Mode}};
        {_, {error, _} = Error} ->
            Error;
        {{ok, _}, {ok, Checked}} ->
            started(py_context_server:start_link(Id, Checked, none))
    end.

%% @doc Start a supervised context that belongs to the calling process: when
%% that ends, the context does.  Waits until the helper is ready.
-spec new(options()) -> {ok, context()} | {error, term()}.
new(Options) ->
    case py_context_opts:context(Options) of
        {ok, Checked} -> started(py_context_sup:start_new(Checked, self()));
        {error, _} = Error -> Error
    end.

started({ok, Pid}) ->
    case py_caller:await(Pid, infinity) of
        ok ->
            {ok, Pid};
        {error, _} = Error ->
            true = unlink(Pid),
            ok = stop(Pid),
            receive
                {'EXIT', Pid, _} -> Error
            after 0 -> Error
            end
    end;
started({error, _} = Error) ->
    Error.

%% @doc Stop a context: Python's `atexit' handlers run, then its process ends;
%% by force where that takes longer than `stop_timeout'.
-spec stop(context()) -> ok.
stop(Context) ->
    try
        gen_statem:stop(Context, normal, infinity)
    catch
        exit:_ -> ok
    end.

%% @doc Give the context a fresh helper while it serves: the new one is started
%% first, then takes all new requests, while those under way end in the former
%% one.  No call fails.  What `exec' defined is gone afterwards.  Streams and
%% references go on with the former one, until none is left, or for `retire_ms';
%% after that they are stale.  Where the new one can not be
%% started the context keeps the one it has, and the reason is the result.
-spec renew(context()) -> ok | {error, term()}.
renew(Context) ->
    py_caller:renew(Context, same).

%%% Running Python

%% @doc Call `Module.Function(*Args)'.
-spec call(context(), terrarium_config:name(), terrarium_config:name(), [term()]) -> result().
call(Context, Module, Function, Args) ->
    call(Context, Module, Function, Args, #{}, infinity).

%% @doc Call `Module.Function(*Args, **Kwargs)'.
-spec call(context(), terrarium_config:name(), terrarium_config:name(), [term()], map()) ->
    result().
call(Context, Module, Function, Args, Kwargs) ->
    call(Context, Module, Function, Args, Kwargs, infinity).

%% @doc The same with a timeout or other options.
-spec call(context(), terrarium_config:name(), terrarium_config:name(), [term()], map(),
           call_options()) -> result().
call(Context, Module, Function, Args, Kwargs, Timeout)
  when is_integer(Timeout), Timeout >= 0, Timeout =< 16#ffffffff; Timeout =:= infinity ->
    case py_prepare:checked(Module, Function, Args, Kwargs) of
        {error, _} = Error ->
            Error;
        Call ->
            Term = py_namespace:scope_call(Context, Call),
            py_caller:run(Context, ?FRAME_CALL, 0, Term, Timeout, default)
    end;
call(Context, Module, Function, Args, Kwargs, Options) ->
    run(Context, py_prepare:call(Context, Module, Function, Args, Kwargs, Options)).

run(Context, {ok, {Opcode, Flags, Term, Timeout, Errors}}) ->
    py_caller:run(Context, Opcode, Flags, Term, Timeout, Errors);
run(_, {error, _} = Error) ->
    Error.

%% @doc The value of an expression.
-spec eval(context(), terrarium_config:name()) -> result().
eval(Context, Code) ->
    eval(Context, Code, #{}, infinity).

%% @doc The value of an expression in which these names are bound, for this
%% once.
-spec eval(context(), terrarium_config:name(), map()) -> result().
eval(Context, Code, Locals) ->
    eval(Context, Code, Locals, infinity).

%% @doc The same with a timeout or other options.
-spec eval(context(), terrarium_config:name(), map(), call_options()) -> result().
eval(Context, Code, Locals, Options) ->
    run(Context, py_prepare:eval(Context, Code, Locals, Options)).

%% @doc Run statements in the context's namespace (its `__main__').
-spec exec(context(), terrarium_config:name()) -> ok | {ok, map()} | {error, term()}.
exec(Context, Code) ->
    exec(Context, Code, infinity).

%% @doc The same with a timeout or other options.
-spec exec(context(), terrarium_config:name(), call_options()) ->
    ok | {ok, map()} | {error, term()}.
exec(Context, Code, Options) ->
    case run(Context, py_prepare:exec(Context, Code, Options)) of
        {ok, #{stdout := _} = Printed} -> {ok, Printed};
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

%%% Coroutines

%% @doc Start a coroutine on the context's event loop; its value comes as
%% `{async_result, Ref, Result}', which `py_event_loop:await/1,2' receives.
-spec submit(context(), terrarium_config:name(), terrarium_config:name(), [term()]) ->
    reference().
submit(Context, Module, Function, Args) ->
    submit(Context, Module, Function, Args, #{}).

%% @doc The same with keyword arguments.
-spec submit(context(), terrarium_config:name(), terrarium_config:name(), [term()], map()) ->
    reference().
submit(Context, Module, Function, Args, Kwargs) ->
    py_cast:coroutine({Context, Module, Function, Args, Kwargs, infinity}).

%% @doc Run a coroutine on the context's event loop to its end.
-spec submit_await(context(), terrarium_config:name(), terrarium_config:name(), [term()]) ->
    result().
submit_await(Context, Module, Function, Args) ->
    submit_await(Context, Module, Function, Args, #{}).

%% @doc The same with keyword arguments.
-spec submit_await(context(), terrarium_config:name(), terrarium_config:name(), [term()],
                   map()) -> result().
submit_await(Context, Module, Function, Args, Kwargs) ->
    submit_await(Context, Module, Function, Args, Kwargs, infinity).

%% @doc The same with a timeout or other options.
-spec submit_await(context(), terrarium_config:name(), terrarium_config:name(), [term()],
                   map(), call_options()) -> result().
submit_await(Context, Module, Function, Args, Kwargs, Options) ->
    Ref = py_cast:coroutine({Context, Module, Function, Args, Kwargs, Options}),
    py_cast:await(Ref, infinity, async_result).

%% @doc Start the context's event loop, which else the first coroutine does.
%% @equiv start_loop(Context, #{})
-spec start_loop(context()) -> ok | {error, term()}.
start_loop(Context) ->
    py_context_loop:start(Context, #{}).

%% @doc The same with options: `debug', asyncio's debug mode, also of a loop that
%% runs; `timeout'.  Fine if it runs.
-spec start_loop(context(), py_context_loop:options()) -> ok | {error, term()}.
start_loop(Context, Options) ->
    py_context_loop:start(Context, Options).

%% @doc Stop the context's event loop; cancelled coroutines have a second to end.
%% @equiv stop_loop(Context, 1000)
-spec stop_loop(context()) -> ok | {error, term()}.
stop_loop(Context) ->
    py_context_loop:stop(Context, 1000).

%% @doc Stop the context's event loop; cancelled coroutines have so many
%% milliseconds to end.  Who waits for one gets `{error, {"CancelledError", _}}' in
%% any case.  `{error, blocked}': one of them blocks the loop's thread; the loop has
%% been given up.  Fine if none runs; the next coroutine starts a fresh one.
-spec stop_loop(context(), non_neg_integer()) -> ok | {error, blocked | term()}.
stop_loop(Context, Milliseconds) ->
    py_context_loop:stop(Context, Milliseconds).

%%% Objects that stay in Python

%% @doc Call a method of a referenced object.
-spec call_method(context(), py_ref:t(), terrarium_config:name(), [term()]) -> result().
call_method(Context, Ref, Name, Args) ->
    call_method(Context, Ref, Name, Args, infinity).

%% @doc The same with a timeout or other options.
-spec call_method(context(), py_ref:t(), terrarium_config:name(), [term()], call_options()) ->
    result().
call_method(Context, Ref, Name, Args, Options) ->
    case {py_prepare:text(Name), py_prepare:args(Args)} of
        {error, _} ->
            {error, {invalid, name, Name}};
        {_, error} ->
            {error, {invalid, args, Args}};
        {N, A} ->
            py_prepare:with_options(Options, fun(Timeout, Errors, Flags, More) ->
                                          method(Context, Ref, {N, A, More},
                                                 {Timeout, Errors, Flags})
                                  end)
    end.

method(Context, Ref, {Name, Args, Kwargs}, How) ->
    case py_prepare:kwargs(Kwargs) of
        error ->
            {error, {invalid, kwargs, Kwargs}};
        Kw ->
            py_caller:on_ref(Context, Ref, ?FRAME_METHOD, fun(Id) -> {Id, Name, Args, Kw} end,
                             How)
    end.

%% @doc An attribute of a referenced object.
-spec getattr(context(), py_ref:t(), terrarium_config:name()) -> result().
getattr(Context, Ref, Name) ->
    getattr(Context, Ref, Name, infinity).

%% @doc The same with a timeout or other options.
-spec getattr(context(), py_ref:t(), terrarium_config:name(), call_options()) -> result().
getattr(Context, Ref, Name, Options) ->
    case py_prepare:text(Name) of
        error ->
            {error, {invalid, name, Name}};
        N ->
            Run = fun(Timeout, Errors, Flags) ->
                          py_caller:on_ref(Context, Ref, ?FRAME_GETATTR,
                                           fun(Id) -> {Id, N} end, {Timeout, Errors, Flags})
                  end,
            py_prepare:without_kwargs(Options, Run)
    end.

%% @doc The value of a referenced object.
-spec to_term(py_ref:t()) -> result().
to_term(Ref) ->
    case py_ref:is_ref(Ref) of
        true ->
            Context = py_ref:context(Ref),
            py_caller:on_ref(Context, Ref, ?FRAME_TO_TERM, fun(Id) -> {Id} end);
        false -> {error, {invalid, ref, Ref}}
    end.

%% @doc Is this a reference to a Python object?
-spec is_ref(term()) -> boolean().
is_ref(Term) ->
    py_ref:is_ref(Term).

%% @doc The reference is no longer needed; a stale one is fine.
-spec release(py_ref:t()) -> ok | {error, term()}.
release(Ref) ->
    case py_ref:is_ref(Ref) of
        true ->
            py_lent:release(Ref);
        false ->
            {error, {invalid, ref, Ref}}
    end.

%% @doc The same reference, held on this node: for one that a process of another node
%% has sent, which does not keep its object here.  One of this node is as it was.
-spec hold(py_ref:t()) -> {ok, py_ref:t()} | {error, term()}.
hold(Ref) ->
    case py_ref:is_ref(Ref) of
        true -> py_lent:hold(Ref);
        false -> {error, {invalid, ref, Ref}}
    end.

%%% Looking at it

%% @doc Interrupt what runs in the context, as Ctrl-C does: KeyboardInterrupt.
-spec interrupt(context()) -> ok | {error, idle | term()}.
interrupt(Context) when node(Context) =/= node() ->
    py_afar:call(node(Context), ?MODULE, interrupt, [Context]);
interrupt(Context) ->
    case py_registry:find(Context) of
        {ready, Port, _, _, _} ->
            case py_port:interrupt(Port) of
                ok -> ok;
                idle -> {error, idle};
                {error, _} -> {error, idle}
            end;
        gone ->
            {error, {context_died, noproc}};
        _ ->
            {error, idle}
    end.

%% @doc What the context's process knows: `id', `state', `runtime', `os_pid',
%% `python', `generation', `restarts', `crashes', `renewals', `retired' (former
%% helpers that end what they have), `interp_id', `stats' (counters of the port),
%% `total' (those and of all ports before, with the buckets of `latency'),
%% `process' (`rss', `user_ms', `system_ms' of the helper).
-spec info(context()) -> {ok, map()} | {error, term()}.
info(Context) ->
    try
        gen_statem:call(Context, info, infinity)
    catch
        exit:{Reason, _} -> py_afar:died(Reason)
    end.

%% @doc The same, and under `interpreter' what Python says about itself; waits
%% for its turn like any request.
-spec info(context(), timeout()) -> {ok, map()} | {error, term()}.
info(Context, Timeout) ->
    case py_prepare:is_timeout(Timeout) andalso info(Context) of
        {ok, Info} ->
            case py_caller:run(Context, ?FRAME_INFO, 0, {}, Timeout, pair) of
                {ok, Interpreter} -> {ok, Info#{interpreter => Interpreter}};
                {error, _} = Error -> Error
            end;
        {error, _} = Error -> Error;
        false -> {error, {invalid, timeout, Timeout}}
    end.

%% @doc Where the Python of the context stands right now, all threads, as text;
%% whatever it does is not disturbed.
-spec backtrace(context()) -> {ok, binary()} | {error, timeout | unavailable | term()}.
backtrace(Context) ->
    try
        gen_statem:call(Context, backtrace, ?BACKTRACE_MS)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{Reason, _} -> py_afar:died(Reason)
    end.

%% @doc A number that no other interpreter of this VM has or had.
-spec get_interp_id(context()) -> {ok, pos_integer()} | {error, term()}.
get_interp_id(Context) ->
    case py_caller:await(Context, infinity) of
        ok ->
            case info(Context) of
                {ok, #{interp_id := Id}} -> {ok, Id};
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.
