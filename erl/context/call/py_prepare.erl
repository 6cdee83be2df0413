%% SPDX-License-Identifier: Apache-2.0
%% @doc From what a user writes to what a helper is asked for: names become
%% binaries, options are checked, the caller's namespace is added.
%%
%% Runs in the process whose namespace counts, whoever makes the request then.
-module(py_prepare).

-export([checked/4, call/6, eval/4, exec/3, with_options/2, without_kwargs/2, at/3]).
-export([text/1, args/1, kwargs/1, is_timeout/1]).

-export_type([request/0]).

-include("../../port/py_wire.hrl").

-type name() :: terrarium_config:name().

-type request() :: {Opcode :: byte(), Flags :: byte(), Term :: term(), py_request:deadline(),
                    py_caller:errors()}.

%% @doc The parts of a call in the form in which they go to Python.
-spec checked(name(), name(), [term()], map()) ->
    {binary(), binary(), [term()], #{binary() => term()}} | {error, {invalid, atom(), term()}}.
checked(Module, Function, Args, Kwargs) ->
    Checked = {text(Module), text(Function), args(Args), kwargs(Kwargs)},
    case Checked of
        {error, _, _, _} -> {error, {invalid, module, Module}};
        {_, error, _, _} -> {error, {invalid, function, Function}};
        {_, _, error, _} -> {error, {invalid, args, Args}};
        {_, _, _, error} -> {error, {invalid, kwargs, Kwargs}};
        Good -> Good
    end.

%% @doc The request for a call.
-spec call(pid() | none, name(), name(), [term()], map(), py_context:call_options()) ->
    {ok, request()} | {error, term()}.
call(Context, Module, Function, Args, Kwargs, Options) ->
    case checked(Module, Function, Args, Kwargs) of
        {error, _} = Error ->
            Error;
        {M, F, A, Kw} ->
            with_options(Options, fun(Timeout, Errors, Flags, More) ->
                                          How = {Flags, Timeout, Errors},
                                          with_kwargs(Context, {M, F, A, Kw}, More, How)
                                  end)
    end.

with_kwargs(Context, {M, F, A, Kw}, More, {Flags, Timeout, Errors}) ->
    case kwargs(More) of
        error ->
            {error, {invalid, kwargs, More}};
        Extra ->
            Term = py_namespace:scope_call(Context, {M, F, A, maps:merge(Kw, Extra)}),
            {ok, {?FRAME_CALL, Flags, Term, Timeout, Errors}}
    end.

%% @doc The request for the value of an expression.
-spec eval(pid() | none, name(), map(), py_context:call_options()) ->
    {ok, request()} | {error, term()}.
eval(Context, Code, Locals, Options) ->
    case {text(Code), kwargs(Locals)} of
        {error, _} ->
            {error, {invalid, code, Code}};
        {_, error} ->
            {error, {invalid, locals, Locals}};
        {C, L} ->
            Term = py_namespace:scope(Context, {C, L}),
            without_kwargs(Options, fun(Timeout, Errors, Flags) ->
                                            {ok, {?FRAME_EVAL, Flags, Term, Timeout, Errors}}
                                    end)
    end.

%% @doc The request to run statements, which have no value to refer to.
-spec exec(pid() | none, name(), py_context:call_options()) -> {ok, request()} | {error, term()}.
exec(Context, Code, Options) ->
    case text(Code) of
        error ->
            {error, {invalid, code, Code}};
        C ->
            Term = py_namespace:scope(Context, {C}),
            without_kwargs(Options, fun(Timeout, Errors, 0) ->
                                            {ok, {?FRAME_EXEC, 0, Term, Timeout, Errors}};
                                       (_, _, ?FLAG_RETURN_REF) ->
                                            {error, {invalid, return, ref}}
                                    end)
    end.

%% @doc This process's request as it is made at this place, perhaps not the one that it
%% was prepared for.
-spec at(py_place:at(), pid(), request()) -> request().
at(At, _, Request) when is_pid(At) ->
    Request;
at(_, Pid, {Opcode, Flags, Term, Timeout, Errors}) ->
    {Opcode, Flags, py_namespace:in_name_of(Pid, Opcode, Term), Timeout, Errors}.

%% @doc What this makes of the options of a call: of its time limit, the form of
%% exceptions and output, the flags, and keyword arguments.
-spec with_options(py_context:call_options(),
                   fun((timeout(), py_caller:errors(), byte(), map()) -> Result)) ->
    Result | {error, {invalid, atom(), term()}}.
with_options(Timeout, Run)
  when is_integer(Timeout), Timeout >= 0, Timeout =< 16#ffffffff; Timeout =:= infinity ->
    Run(Timeout, default, 0, #{});
with_options(Options, Run) ->
    case py_context_opts:call(Options) of
        {ok, {default, Errors, Flags, Kwargs}} -> Run(infinity, Errors, Flags, Kwargs);
        {ok, {Timeout, Errors, Flags, Kwargs}} -> Run(Timeout, Errors, Flags, Kwargs);
        {error, _} = Error -> Error
    end.

%% @doc The same for what takes no keyword arguments.
-spec without_kwargs(py_context:call_options(),
                     fun((timeout(), py_caller:errors(), byte()) -> Result)) ->
    Result | {error, {invalid, atom(), term()}}.
without_kwargs(Options, Run) ->
    with_options(Options, fun(Timeout, Errors, Flags, None) when map_size(None) =:= 0 ->
                                  Run(Timeout, Errors, Flags);
                             (_, _, _, Kwargs) ->
                                  {error, {invalid, kwargs, Kwargs}}
                          end).

%%% Names and arguments

%% @doc Names as atom, binary or string become binaries; `error' for anything
%% else.
-spec text(term()) -> binary() | error.
text(Atom) when is_atom(Atom) ->
    atom_to_binary(Atom, utf8);
text(Binary) when is_binary(Binary) ->
    Binary;
text(List) when is_list(List) ->
    try unicode:characters_to_binary(List) of
        Binary when is_binary(Binary) -> Binary;
        _ -> error
    catch
        error:badarg -> error
    end;
text(_) ->
    error.

%% @doc Arguments are a proper list.
-spec args(term()) -> [term()] | error.
args(Args) when length(Args) >= 0 -> Args;
args(_) -> error.

%% @doc Keyword arguments and locals: the names become binaries.
-spec kwargs(term()) -> #{binary() => term()} | error.
kwargs(Map) when is_map(Map), map_size(Map) =:= 0 ->
    Map;
kwargs(Map) when is_map(Map) ->
    maps:fold(fun(_, _, error) -> error;
                 (Key, Value, Acc) ->
                      case text(Key) of
                          error -> error;
                          Name -> Acc#{Name => Value}
                      end
              end, #{}, Map);
kwargs(_) ->
    error.

%% @doc Can it be waited for so long?
-spec is_timeout(term()) -> boolean().
is_timeout(infinity) -> true;
is_timeout(Ms) -> is_integer(Ms) andalso Ms >= 0 andalso Ms =< 16#ffffffff.
